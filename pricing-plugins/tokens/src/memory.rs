//! Memory for one call. An instance prices one call and is gone, so nothing is ever taken back, and a whole instance fits
//! into one page: that is most of what makes a fresh one cheap. A plugin works without this file, only slower.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};

/// What a call needs, many times over. What goes beyond it comes from the host, page by page.
const ARENA_BYTES: usize = 32 << 10;
const PAGE_BYTES: usize = 64 << 10;

struct OneCall {
    arena: UnsafeCell<[u8; ARENA_BYTES]>,
    used: Cell<usize>,
}

// SAFETY: a plugin's instance has one thread.
unsafe impl Sync for OneCall {}

#[global_allocator]
static MEMORY: OneCall = OneCall { arena: UnsafeCell::new([0; ARENA_BYTES]), used: Cell::new(0) };

// SAFETY: every block is handed out once, aligned as asked, from memory that lives as long as the instance.
unsafe impl GlobalAlloc for OneCall {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.arena.get().cast::<u8>();
        let at = base as usize + self.used.get();
        let start = at.next_multiple_of(layout.align()) - base as usize;
        if start + layout.size() <= ARENA_BYTES {
            self.used.set(start + layout.size());
            return base.wrapping_add(start);
        }
        let before = core::arch::wasm32::memory_grow(0, layout.size().div_ceil(PAGE_BYTES));
        if before == usize::MAX { core::ptr::null_mut() } else { (before * PAGE_BYTES) as *mut u8 }
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}
