"""The My Account page: what a customer sees in a browser at `/`. Server-rendered; works without JavaScript."""
