"""How results are shown: as a page, at a terminal, beside reprod_log's answer. Nothing else imports this."""
