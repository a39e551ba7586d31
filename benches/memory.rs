//! In: what `blobs` measures. Out: the most memory that each takes at once. Never: times worth reading,
//! since each allocation is counted.

#![allow(missing_docs)]

mod blobs;

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    blobs::main();
}
