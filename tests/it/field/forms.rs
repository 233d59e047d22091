//! Forms of files: what is read, what is refused by name, and what damage leaves standing.
