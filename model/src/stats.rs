//! What a run shows of its groups.

use serde::Serialize;
use tch::{Kind, Tensor, no_grad};

use crate::groups::{lengths, normalize};
use crate::pairing::Pairing;

/// Tensors from which [`GroupStats::figures`] computes the figures. They exist in the step anyway: a step that nobody
/// reads costs nothing.
#[derive(Debug)]
pub struct GroupStats {
    pub(crate) pairing: Pairing,
    /// Groups of the members, i64 `[M * B]`.
    pub(crate) assignment: Tensor,
    /// Target groups, i64 `[Q * B]`.
    pub(crate) targets: Tensor,
    /// Members of each group in this step, i64 `[K]`.
    pub(crate) counts: Tensor,
    /// The same summed since the last reset, this step included.
    pub(crate) counts_since_reset: Tensor,
    /// Detached features of the online encoder `[n, F]`, of the large views that passed it first.
    pub(crate) features: Tensor,
    /// Detached projections `[M * B, d]`.
    pub(crate) projections: Tensor,
    /// Detached G' before it is renormalised.
    pub(crate) updated: Tensor,
}

/// Health of the groups at one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupFigures {
    /// exp(entropy) of this step's assignments: how many groups are in use, at most the members of the step.
    pub effective_groups: f64,
    /// The same over all assignments since the last reset.
    pub effective_groups_since_reset: f64,
    /// Share of this step's members in the largest group.
    pub largest_share: f64,
    /// Groups without a single member since the last reset.
    pub dead_groups: i64,
    /// Share of pairs of large views of one picture where the online group of the one is the target group of the
    /// other.
    pub agreement: f64,
    /// Standard deviation of the unit-length projections, averaged over dimensions; 1/sqrt(dim) is the best. The norm at
    /// the projector's end spreads whatever is left of a difference, so this hardly falls in a collapse: the next two do.
    pub feature_std: f64,
    /// In how many directions the unit-length projections of a step differ: the squared sum of their covariance's eigenvalues
    /// over the sum of the squares (participation ratio). At most dim; 1 where all lie on a line, 0 where they are equal.
    pub effective_dimensions: f64,
    /// Share of the encoder's features that tells images apart: their variance over their mean squared length. 0 where all
    /// are equal; about 1 minus the mean cosine of two of them.
    pub encoder_spread: f64,
    /// Mean length of the updated group features before they are renormalised.
    pub group_norm: f64,
}

impl GroupFigures {
    /// How many numbers [`GroupStats::figures`] gives.
    pub const COUNT: usize = 9;

    /// From the numbers of [`GroupStats::figures`].
    pub fn from_values(values: &[f64; Self::COUNT]) -> Self {
        let [
            effective_groups,
            effective_groups_since_reset,
            largest_share,
            dead_groups,
            agreement,
            feature_std,
            effective_dimensions,
            encoder_spread,
            group_norm,
        ] = *values;
        Self {
            effective_groups,
            effective_groups_since_reset,
            largest_share,
            dead_groups: dead_groups as i64,
            agreement,
            feature_std,
            effective_dimensions,
            encoder_spread,
            group_norm,
        }
    }
}

impl GroupStats {
    /// The figures as f64 `[9]` on the device, in the order of [`GroupFigures`]: nothing waits for the device.
    pub fn figures(&self) -> Tensor {
        no_grad(|| {
            let counts = self.counts.to_kind(Kind::Double);
            let directions = normalize(&self.projections);
            let figures = [
                effective(&self.counts),
                effective(&self.counts_since_reset),
                counts.max() / counts.sum(Kind::Double),
                self.counts_since_reset.eq(0).sum(Kind::Double),
                self.agreement(),
                directions.std_dim([0i64].as_slice(), false, false).mean(Kind::Double),
                effective_dimensions(&directions),
                spread(&self.features.to_kind(Kind::Float)),
                lengths(&self.updated).mean(Kind::Double),
            ];
            Tensor::stack(&figures, 0)
        })
    }

    fn agreement(&self) -> Tensor {
        let members = self.pairing.num_members as i64;
        let targets = self.pairing.targets.len() as i64;
        let online = self.assignment.view([members, 1, -1]);
        let equal = online.eq_tensor(&self.targets.view([1, targets, -1]));
        let share = equal.to_kind(Kind::Double).mean_dim([2i64].as_slice(), false, Kind::Double);
        let other = match self.pairing.excluded((Kind::Double, share.device())) {
            Some(same) => 1.0 - same.narrow(0, 0, members),
            None => share.ones_like(),
        };
        // With a single large view that is its own target, there is no pair: not a number, shown as such.
        (share * &other).sum(Kind::Double) / other.sum(Kind::Double)
    }
}

/// exp(entropy) of the shares of `counts`.
fn effective(counts: &Tensor) -> Tensor {
    let shares = counts.to_kind(Kind::Double) / counts.sum(Kind::Double).clamp_min(1.0);
    let entropy = -(&shares * shares.clamp_min(f64::MIN_POSITIVE).log()).sum(Kind::Double);
    entropy.exp()
}

/// Participation ratio of the eigenvalues of the rows' covariance C, which needs none of them: tr(C)^2 / |C|^2.
fn effective_dimensions(rows: &Tensor) -> Tensor {
    let centred = rows - rows.mean_dim([0i64].as_slice(), true, rows.kind());
    let covariance = centred.tr().matmul(&centred).to_kind(Kind::Double);
    let total = covariance.diagonal(0, 0, 1).sum(Kind::Double);
    total.square() / covariance.square().sum(Kind::Double).clamp_min(f64::MIN_POSITIVE)
}

/// Variance of the rows over their mean squared length; 0 for rows of zeros.
pub(crate) fn spread(rows: &Tensor) -> Tensor {
    let variance = rows.var_dim([0i64].as_slice(), false, false).mean(Kind::Double);
    variance / rows.square().mean(Kind::Double).clamp_min(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Direction;

    fn stats() -> GroupStats {
        GroupStats {
            pairing: Pairing::new(Direction::Both, 3, 2, 0),
            assignment: Tensor::from_slice(&[0i64, 1, 1, 1]),
            targets: Tensor::from_slice(&[1i64, 1, 0, 0]),
            counts: Tensor::from_slice(&[1i64, 3, 0, 0]),
            counts_since_reset: Tensor::from_slice(&[4i64, 4, 4, 0]),
            features: Tensor::from_slice(&[1f32, 1., 1., 1., 1., 3., 1., 3.]).view([4, 2]),
            projections: Tensor::from_slice(&[1f32, 0., 0., 2., 0., 3., 0., 4.]).view([4, 2]),
            updated: Tensor::from_slice(&[3f32, 4., 0., 1., 0., 1., 0., 1.]).view([4, 2]),
        }
    }

    #[test]
    fn figures_are_those_worked_out_by_hand() {
        let values = Vec::<f64>::try_from(stats().figures()).unwrap();
        let figures = GroupFigures::from_values(values.as_slice().try_into().unwrap());
        let entropy = -(0.25f64 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
        assert!((figures.effective_groups - entropy.exp()).abs() < 1e-9);
        assert!((figures.effective_groups_since_reset - 3.0).abs() < 1e-9);
        assert_eq!((figures.largest_share, figures.dead_groups), (0.75, 1));
        // View 0 (groups 0, 1) against target 1 (0, 0): one of two; view 1 (1, 1) against target 0 (1, 1): both.
        assert!((figures.agreement - 0.75).abs() < 1e-9);
        // Each dimension holds three equal numbers and one off by 1: deviation sqrt(3) / 4.
        assert!((figures.feature_std - 3f64.sqrt() / 4.0).abs() < 1e-6);
        // Two directions make a line.
        assert!((figures.effective_dimensions - 1.0).abs() < 1e-6);
        // Variances 0 and 1, squared lengths 2 and 10.
        assert!((figures.encoder_spread - 1.0 / 6.0).abs() < 1e-6);
        assert!((figures.group_norm - 2.0).abs() < 1e-6);
    }

    #[test]
    fn dimensions_count_by_their_share_and_equal_rows_have_none() {
        let of = |values: &[f32]| {
            let rows = Tensor::from_slice(values).view([-1, 3]);
            (effective_dimensions(&rows).double_value(&[]), spread(&rows).double_value(&[]))
        };
        let (dimensions, spread) = of(&[1., 0., 0., -1., 0., 0., 0., 1., 0., 0., -1., 0.]);
        assert!((dimensions - 2.0).abs() < 1e-6 && (spread - 1.0).abs() < 1e-6);
        // Eigenvalues 9 and 1: 100 / 82.
        let (dimensions, _) = of(&[3., 0., 0., -3., 0., 0., 0., 1., 0., 0., -1., 0.]);
        assert!((dimensions - 100.0 / 82.0).abs() < 1e-6);
        assert_eq!(of(&[0.5, 0.25, 2., 0.5, 0.25, 2.]), (0.0, 0.0));
        assert_eq!(of(&[0.; 6]), (0.0, 0.0));
    }
}
