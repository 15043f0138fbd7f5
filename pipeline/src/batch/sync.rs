//! What slots are synchronised with: atomics, the channels of the tokens, and a watch on memory.
//!
//! With the feature `loom` these are loom's models of them, so that `model.rs` runs the very code of this
//! folder through every order of events. The watch is there for that alone: it tells loom which rows a
//! reference was made to, and is nothing otherwise.

#[cfg(not(feature = "loom"))]
mod real {
    use crossbeam::channel::{Receiver, Sender, bounded};

    use super::super::ring::Token;
    use crate::runtime::{Cancel, StageExit};

    pub(in crate::batch) use std::sync::atomic::{AtomicU32, Ordering};

    /// Where the token of a slot is given up.
    pub(in crate::batch) struct TokenSender(Sender<Token>);

    /// Where the token of a slot is waited for.
    #[derive(Debug)]
    pub(in crate::batch) struct TokenReceiver(Receiver<Token>);

    /// A channel for the one token of a slot.
    pub(in crate::batch) fn token_channel() -> (TokenSender, TokenReceiver) {
        let (sender, receiver) = bounded(1);
        (TokenSender(sender), TokenReceiver(receiver))
    }

    impl TokenSender {
        pub(in crate::batch) fn send(&self, token: Token) {
            // There is room, since there is one token; refused only where the stream is closed, and then
            // there is nobody to tell.
            let _ = self.0.try_send(token);
        }
    }

    impl TokenReceiver {
        pub(in crate::batch) fn recv(&self, cancel: &Cancel) -> Result<Token, StageExit> {
            cancel.recv(&self.0)
        }

        #[cfg(test)]
        pub(in crate::batch) fn len(&self) -> usize {
            self.0.len()
        }
    }

    /// Nothing.
    pub(in crate::batch) struct Watch;

    impl Watch {
        pub(in crate::batch) fn new(_rows: u32) -> Self {
            Self
        }

        #[inline(always)]
        pub(in crate::batch) fn write(&self, _row: u32) {}

        #[inline(always)]
        pub(in crate::batch) fn read_all(&self) {}
    }
}

#[cfg(feature = "loom")]
mod model {
    use std::fmt;

    use loom::cell::UnsafeCell;
    use loom::sync::mpsc::{Receiver, Sender, channel};

    use super::super::ring::Token;
    use crate::runtime::{Cancel, StageExit};

    pub(in crate::batch) use loom::sync::atomic::{AtomicU32, Ordering};

    pub(in crate::batch) struct TokenSender(Sender<Token>);

    pub(in crate::batch) struct TokenReceiver(Receiver<Token>);

    pub(in crate::batch) fn token_channel() -> (TokenSender, TokenReceiver) {
        let (sender, receiver) = channel();
        (TokenSender(sender), TokenReceiver(receiver))
    }

    impl fmt::Debug for TokenReceiver {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("TokenReceiver").finish_non_exhaustive()
        }
    }

    impl TokenSender {
        pub(in crate::batch) fn send(&self, token: Token) {
            let _ = self.0.send(token);
        }
    }

    impl TokenReceiver {
        /// Cancelling is not part of the model.
        pub(in crate::batch) fn recv(&self, _cancel: &Cancel) -> Result<Token, StageExit> {
            self.0.recv().map_err(|_| StageExit::Orphaned)
        }
    }

    /// Loom takes a message that is left over for a mistake; here it is a slot that is free at the end.
    impl Drop for TokenReceiver {
        fn drop(&mut self) {
            while self.0.try_recv().is_ok() {}
        }
    }

    /// One cell per row. Loom fails where two accesses, one of them a write, are not ordered.
    pub(in crate::batch) struct Watch(Box<[UnsafeCell<()>]>);

    // SAFETY: the cells hold nothing; loom checks what is claimed of them.
    unsafe impl Send for Watch {}
    // SAFETY: as above.
    unsafe impl Sync for Watch {}

    impl Watch {
        pub(in crate::batch) fn new(rows: u32) -> Self {
            Self((0..rows).map(|_| UnsafeCell::new(())).collect())
        }

        pub(in crate::batch) fn write(&self, row: u32) {
            self.0[row as usize].with_mut(|_| ());
        }

        pub(in crate::batch) fn read_all(&self) {
            self.0.iter().for_each(|cell| cell.with(|_| ()));
        }
    }
}

#[cfg(feature = "loom")]
pub(super) use model::*;
#[cfg(not(feature = "loom"))]
pub(super) use real::*;
