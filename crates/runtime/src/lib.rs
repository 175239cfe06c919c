//! Wire formats and the runtimes that move batches and commit.
