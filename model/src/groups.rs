//! Assignment of features to groups and the synchronous update of the groups.
//!
//! Notation: v projections, z predictions, t targets' features, G groups `[K, d]`, n(x) = x / |x|.
//! Everything here is computed in the kind of its inputs, f32 in training whatever the networks compute in.

use tch::{Device, Kind, Tensor, no_grad};

use crate::config::{GroupsConfig, GroupsInit};
use crate::draw::{Domain, Draw};

/// Lengths of the rows.
pub(crate) fn lengths(x: &Tensor) -> Tensor {
    x.norm_scalaropt_dim(2, [-1i64].as_slice(), false)
}

/// Rows scaled to unit length; a row of zeros stays one.
pub(crate) fn normalize(x: &Tensor) -> Tensor {
    x / lengths(x).unsqueeze(-1).clamp_min(1e-12)
}

/// Group features `[K, dim]` before the first step, drawn on the host.
pub(crate) fn first(config: &GroupsConfig, dim: i64, seed: u64) -> Tensor {
    let mut draw = Draw::new(seed, Domain::Groups, [0; 5]);
    let shape = [config.count, dim];
    normalize(&match config.init {
        GroupsInit::Sphere => draw.normal(&shape, 1.0),
        GroupsInit::Positive => draw.uniform(&shape, 0.5) + 0.5,
    })
}

/// Rows of features whose similarities to all groups are held at once: 64 MiB of them on a GPU; on a CPU what stays in its
/// cache between the product and the search for the largest.
pub(crate) fn block_rows(num_groups: i64, device: Device) -> i64 {
    let elements = if device == Device::Cpu { 1 << 19 } else { 1 << 24 };
    (elements / num_groups).max(1)
}

/// The nearest group by cosine of each row: i64 `[n]`, no gradient. `directions` are the groups at unit length; the
/// length of a feature does not change which of them is nearest.
pub(crate) fn assign(features: &Tensor, directions: &Tensor) -> Tensor {
    no_grad(|| {
        let blocks = features.split(block_rows(directions.size()[0], features.device()), 0);
        let directions = directions.tr();
        let nearest: Vec<_> =
            blocks.iter().map(|block| block.matmul(&directions).argmax(-1, false)).collect();
        Tensor::cat(&nearest, 0)
    })
}

/// Groups after an update.
pub(crate) struct Update {
    /// G' `[K, d]`; carries the gradient to the members if that is wanted. Not renormalised.
    pub(crate) groups: Tensor,
    /// Members of each group in this step, i64 `[K]`.
    pub(crate) counts: Tensor,
}

/// `G'_k = beta G_k + (1 - beta) mean of the members of k`; groups without members stay as they are.
pub(crate) fn update(
    groups: &Tensor,
    members: &Tensor,
    assignment: &Tensor,
    config: &GroupsConfig,
) -> Update {
    let groups = groups.detach();
    let members =
        if config.grad_through_groups { members.shallow_clone() } else { members.detach() };
    let members = if config.normalize_members { normalize(&members) } else { members };
    let counts = Tensor::zeros([config.count], (Kind::Int64, groups.device())).index_add(
        0,
        assignment,
        &assignment.ones_like(),
    );
    let means = groups.zeros_like().index_add(0, assignment, &members)
        / counts.clamp_min(1).to_kind(groups.kind()).unsqueeze(1);
    let share = counts.gt(0).to_kind(groups.kind()).unsqueeze(1) * (1.0 - config.beta);
    Update { groups: &groups * (1.0 - &share) + share * means, counts }
}
