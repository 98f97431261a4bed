"""Runs layers and functions of torch against their counterparts elsewhere: which agree, lose precision, or differ."""
