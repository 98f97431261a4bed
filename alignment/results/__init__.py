"""Reports, rows, verdicts and findings: plain data that every other part may use."""
