"""A few pictures of one object from known directions to a closed, textured mesh."""
