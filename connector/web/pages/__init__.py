"""The pages for people: one module per page, each with its router."""
