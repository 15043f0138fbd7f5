//! Which views go through which branch, and which predict which.

use tch::{Device, Kind, Tensor};

use crate::config::Direction;

/// The views of one step: indices into the batch's views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairing {
    /// Views that the online branch sees, large ones first.
    pub(crate) online: Vec<usize>,
    /// Large views that the momentum branch sees and that give target groups.
    pub(crate) targets: Vec<usize>,
    /// How many of `online` are large: their projections are members of the groups.
    pub(crate) num_members: usize,
}

impl Pairing {
    /// `Both`: every large view is a target for each other view. `Alternate`: one large view is the target, the
    /// second one at step 0, the next one with each step; all others are online.
    ///
    /// # Panics
    /// Where no view could predict another one; `ModelConfig::check_views` says so before.
    pub(crate) fn new(direction: Direction, num_views: usize, num_large: usize, step: u64) -> Self {
        let pairing = match direction {
            Direction::Both => Self {
                online: (0..num_views).collect(),
                targets: (0..num_large).collect(),
                num_members: num_large,
            },
            Direction::Alternate => {
                let target = ((step + 1) % num_large.max(1) as u64) as usize;
                Self {
                    online: (0..num_views).filter(|&view| view != target).collect(),
                    targets: vec![target],
                    num_members: num_large - 1,
                }
            }
        };
        assert!(
            pairing.num_members > 0 && pairing.num_pairs() > 0,
            "{num_views} views of which {num_large} are large make no pair; call check_views first"
        );
        pairing
    }

    /// Pairs of an online view and another view as its target.
    pub(crate) fn num_pairs(&self) -> usize {
        self.online.len() * self.targets.len() - self.num_excluded()
    }

    /// `[online, targets]` with 1 where both are one view; `None` where that never is the case. Made on the device,
    /// so that no step waits for a copy from the host.
    pub(crate) fn excluded(&self, options: (Kind, Device)) -> Option<Tensor> {
        // A view that is online and a target stands at the same place in both lists (see `new`).
        let size = (self.online.len() as i64, self.targets.len() as i64);
        (self.num_excluded() > 0).then(|| Tensor::eye_m(size.0, size.1, options))
    }

    fn num_excluded(&self) -> usize {
        self.targets.iter().filter(|target| self.online.contains(target)).count()
    }
}

/// Lengths of the runs of neighbouring views of one shape. Each run is forwarded as one batch, so batch norm
/// statistics are taken per resolution.
pub(crate) fn runs(views: &[&Tensor]) -> Vec<usize> {
    views.chunk_by(|a, b| a.size() == b.size()).map(<[_]>::len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternate_makes_each_large_view_the_target_in_turn() {
        let pairing = |step| Pairing::new(Direction::Alternate, 3, 2, step);
        assert_eq!(pairing(0).online, [0, 2]);
        assert_eq!(pairing(0).targets, [1]);
        assert_eq!(pairing(1).online, [1, 2]);
        assert_eq!(pairing(1).targets, [0]);
        assert_eq!((pairing(1).num_members, pairing(1).num_pairs()), (1, 2));
        assert!(pairing(1).excluded((Kind::Float, Device::Cpu)).is_none());
    }

    #[test]
    fn both_pairs_each_large_view_with_every_other_view() {
        let pairing = Pairing::new(Direction::Both, 6, 2, 9);
        assert_eq!(pairing.num_pairs(), 10);
        let excluded = pairing.excluded((Kind::Float, Device::Cpu)).unwrap();
        assert_eq!(excluded.size(), [6, 2]);
        assert_eq!(excluded.sum(Kind::Float).double_value(&[]), 2.0);
    }

    #[test]
    fn views_of_one_size_are_forwarded_together() {
        let view = |side| Tensor::zeros([2, 3, side, side], (Kind::Float, Device::Cpu));
        let views = [view(8), view(8), view(4), view(4), view(4)];
        assert_eq!(runs(&views.iter().collect::<Vec<_>>()), [2, 3]);
        assert!(runs(&[]).is_empty());
    }
}
