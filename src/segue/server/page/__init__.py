"""The page at ``/``: static files that ask the public routes, and the routes that send them."""
