"""The HTTP server: requests over the network, live sessions that are kept on disk, and the processes that answer."""
