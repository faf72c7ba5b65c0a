"""Distributed training: several worker processes that train one model together."""
