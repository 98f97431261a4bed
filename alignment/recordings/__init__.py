"""Arrays on disk: our recordings, and the files of reprod_log."""
