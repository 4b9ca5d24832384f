"""Generated programs: a function of the library under transformations of torch or JAX, compared with enumeration."""
