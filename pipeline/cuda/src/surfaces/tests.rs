use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;

#[derive(Default)]
struct Flag {
    passed: AtomicBool,
    waits: AtomicU32,
}

impl Fence for Flag {
    fn wait(&self) -> Result<(), CudaError> {
        self.waits.fetch_add(1, Ordering::SeqCst);
        while !self.passed.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Ok(())
    }

    fn has_passed(&self) -> Result<bool, CudaError> {
        Ok(self.passed.load(Ordering::SeqCst))
    }
}

/// A block of so many pieces of 16 x 16 pixels, which take 768 bytes.
fn circle(pieces: u64) -> Arc<Surfaces> {
    Surfaces::new(1 << 20, pieces * 768)
}

fn place(surfaces: &Arc<Surfaces>) -> Option<SurfaceLease> {
    surfaces.try_allocate(16, 16).unwrap()
}

fn start(lease: &SurfaceLease) -> u64 {
    (lease.surface().pixels - (1 << 20)) / 768
}

#[test]
fn pieces_go_round_and_never_overlap() {
    let surfaces = circle(4);
    let mut held: VecDeque<_> = (0..4).map(|_| place(&surfaces).unwrap()).collect();
    assert_eq!(held.iter().map(start).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(place(&surfaces).is_none());
    // Freed out of order: nothing moves before the first is free. Then one stays empty between head and tail.
    held.remove(1);
    assert!(place(&surfaces).is_none());
    held.pop_front();
    let again = place(&surfaces).unwrap();
    assert_eq!(start(&again), 0);
    assert!(place(&surfaces).is_none());
}

#[test]
fn images_of_many_sizes_lie_apart_from_one_another() {
    let surfaces = Surfaces::new(0, 100_000);
    let mut held: VecDeque<SurfaceLease> = VecDeque::new();
    let mut given = 0;
    for step in 0u32..4000 {
        let (width, height) = (1 + step * 37 % 150, 1 + step * 53 % 90);
        match surfaces.try_allocate(width, height).unwrap() {
            Some(lease) => {
                let range = |lease: &SurfaceLease| {
                    let Surface { pixels, width, height, .. } = *lease.surface();
                    pixels..pixels + 3 * u64::from(width) * u64::from(height)
                };
                let new = range(&lease);
                assert!(new.end <= 100_000 && new.start % 256 == 0);
                for other in held.iter().map(range) {
                    assert!(new.end <= other.start || other.end <= new.start, "{new:?} {other:?}");
                }
                held.push_back(lease);
                given += 1;
            }
            None => drop(held.remove((step as usize * 7) % held.len())),
        }
    }
    assert!(given > 2000, "{given}");
}

#[test]
fn a_piece_is_given_out_again_only_after_its_fence() {
    let surfaces = circle(2);
    let flag = Arc::new(Flag::default());
    let fence: Arc<dyn Fence> = flag.clone();
    place(&surfaces).unwrap().submitted(&fence);
    let second = place(&surfaces).unwrap();
    assert!(place(&surfaces).is_none(), "the kernels have not ended");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| surfaces.allocate(8, 8, &Cancel::default()).is_ok());
        while flag.waits.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        assert!(!waiting.is_finished());
        std::thread::sleep(Duration::from_millis(3));
        flag.passed.store(true, Ordering::SeqCst);
        assert!(waiting.join().unwrap());
        let Usage { wait_kernels, wait_decoders, .. } = surfaces.usage();
        assert!(wait_kernels >= Duration::from_millis(3), "{wait_kernels:?}");
        assert_eq!(wait_decoders, Duration::ZERO);
    });
    drop(second);
}

#[test]
fn a_wait_for_a_decoder_ends_when_it_is_done_or_the_stream_is_cancelled() {
    let surfaces = circle(1);
    let held = place(&surfaces).unwrap();
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| surfaces.allocate(16, 16, &cancel));
        // It looks again after a while, and counts what it waited until then.
        while surfaces.usage().wait_decoders < PATIENCE {
            std::thread::yield_now();
        }
        drop(held);
        let held = waiting.join().unwrap().expect("there is room now");
        assert_eq!(surfaces.usage().wait_kernels, Duration::ZERO);
        let waiting = scope.spawn(|| surfaces.allocate(16, 16, &cancel));
        std::thread::sleep(Duration::from_millis(5));
        cancel.cancel();
        assert!(matches!(waiting.join().unwrap(), Err(StageExit::Cancelled)));
        drop(held);
    });
}

#[test]
fn what_can_never_fit_is_known_before() {
    let surfaces = circle(2);
    assert!(surfaces.fits(16, 32));
    assert!(!surfaces.fits(16, 33));
    let whole = surfaces.try_allocate(16, 32).unwrap().expect("all of it");
    drop(whole);
    assert!(surfaces.try_allocate(16, 33).unwrap().is_none());
}

#[test]
fn what_is_in_use_reaches_from_the_oldest_piece_to_the_head() {
    let surfaces = circle(4);
    let held = |surfaces: &Surfaces| surfaces.usage().held_bytes / 768;
    assert_eq!((held(&surfaces), surfaces.usage().capacity_bytes), (0, 4 * 768));
    let mut leases: VecDeque<_> = (0..3).map(|_| place(&surfaces).unwrap()).collect();
    assert_eq!(held(&surfaces), 3);
    // Out of turn, so nobody can have it yet.
    leases.remove(1);
    surfaces.reap().unwrap();
    assert_eq!(held(&surfaces), 3);
    leases.pop_front();
    surfaces.reap().unwrap();
    assert_eq!(held(&surfaces), 1);
    // Round the end: the third, the fourth and the first.
    leases.push_back(place(&surfaces).unwrap());
    leases.push_back(place(&surfaces).unwrap());
    assert_eq!((start(&leases[2]), held(&surfaces)), (0, 3));
    leases.clear();
    surfaces.reap().unwrap();
    assert_eq!(held(&surfaces), 0);
}

#[test]
fn memory_that_kernels_have_read_is_out_of_use_once_that_is_noticed() {
    let surfaces = circle(8);
    let (early, late) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
    let fences: [Arc<dyn Fence>; 2] = [early.clone(), late];
    for number in 0..5 {
        place(&surfaces).unwrap().submitted(&fences[usize::from(number >= 3)]);
    }
    surfaces.reap().unwrap();
    assert_eq!(surfaces.usage().held_bytes, 5 * 768);
    early.passed.store(true, Ordering::SeqCst);
    surfaces.reap().unwrap();
    assert_eq!(surfaces.usage().held_bytes, 2 * 768);
}

#[test]
fn the_mean_of_what_is_in_use_follows_from_its_integral() {
    let surfaces = circle(4);
    let pause = || std::thread::sleep(Duration::from_millis(8));
    pause();
    assert_eq!(surfaces.usage().byte_seconds, 0.0);
    let begun = Instant::now();
    let both = [place(&surfaces).unwrap(), place(&surfaces).unwrap()];
    pause();
    drop(both);
    surfaces.reap().unwrap();
    let (found, most) = (surfaces.usage().byte_seconds, begun.elapsed().as_secs_f64());
    assert!(found >= 2.0 * 768.0 * 0.008, "{found}");
    assert!(found <= 2.0 * 768.0 * most, "{found} in {most} s");
    pause();
    assert_eq!(surfaces.usage().byte_seconds, found, "nothing is in use any more");
}
