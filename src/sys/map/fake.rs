//! A stand-in for the kernel in unit tests: each thread may have one, which then answers its element
//! and batch commands. So what only other kernels, full buckets or unlucky moments answer is tested
//! without root, on any machine.

use super::element::Element;
use std::cell::RefCell;

type Kernel = Box<dyn FnMut(Element<'_>) -> i32>;

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// Ends the stand-in's time.
#[must_use]
pub(crate) struct Answering(());

impl Drop for Answering {
    fn drop(&mut self) {
        KERNEL.take();
    }
}

/// From now on `kernel` answers this thread's commands: 0, or a negative errno.
pub(crate) fn answer_by(kernel: impl FnMut(Element<'_>) -> i32 + 'static) -> Answering {
    KERNEL.set(Some(Box::new(kernel)));
    Answering(())
}

/// The stand-in's answer, or the command itself if there is none.
pub(super) fn answer(element: Element<'_>) -> Result<i32, Element<'_>> {
    KERNEL.with_borrow_mut(|kernel| match kernel {
        Some(kernel) => Ok(kernel(element)),
        None => Err(element),
    })
}
