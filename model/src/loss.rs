//! Logits against the updated groups and their cross entropy over pairs of views.

use tch::{Kind, Tensor};

use crate::config::GroupsConfig;
use crate::groups::normalize;
use crate::pairing::Pairing;

/// `n(z) . n(G') / tau`: predictions `[n, d]` to logits `[n, K]`.
pub(crate) fn logits(predictions: &Tensor, updated: &Tensor, config: &GroupsConfig) -> Tensor {
    // Divided here, not below: `[n, d]` is small beside `[n, K]`.
    (normalize(predictions) / config.temperature).matmul(&normalize(updated).tr())
}

/// Mean over all pairs (p, q) of the cross entropy of view p's logits with view q's target group.
///
/// `logits` `[V * B, K]` are ordered by online view, `targets` i64 `[Q * B]` by target view.
pub(crate) fn cross_entropy(logits: &Tensor, targets: &Tensor, pairing: &Pairing) -> Tensor {
    let num_online = pairing.online.len() as i64;
    let num_targets = pairing.targets.len() as i64;
    let batch = targets.size()[0] / num_targets;
    let log_odds = logits.log_softmax(-1, None::<Kind>).view([num_online, batch, -1]);
    let index =
        targets.view([num_targets, batch]).tr().unsqueeze(0).expand([num_online, -1, -1], false);
    let picked = log_odds.gather(2, &index, false);
    let total = match pairing.excluded((logits.kind(), logits.device())) {
        Some(same) => (picked * (-same + 1.0).unsqueeze(1)).sum(None::<Kind>),
        None => picked.sum(None::<Kind>),
    };
    -total / (pairing.num_pairs() as i64 * batch) as f64
}

#[cfg(test)]
mod tests;
