//! What the groups hold: for several groups, the images nearest to them, as a contact sheet.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use smog_model::{EncoderBranch, SmogModel};
use smog_pipeline::sheet::{Tile, write_sheet};
use smog_pipeline::source::Source;
use tch::{Kind, Tensor, no_grad};

use super::features::{EvalStream, Progress, is_own};
use crate::images::Normalizer;

/// How large the sheet is.
#[derive(Clone, Copy, Debug)]
pub struct GroupPictures {
    /// Whose projections are taken.
    pub branch: EncoderBranch,
    /// Groups that are shown, the fullest first.
    pub num_groups: usize,
    /// Images of each.
    pub num_images: usize,
    /// Samples that are looked at, from the start of the split.
    pub num_samples: u64,
}

/// What the sheet shows.
#[derive(Clone, Debug, Serialize)]
pub struct GroupPicturesReport {
    /// Samples that were looked at.
    pub num_samples: usize,
    /// Samples that cannot be decoded; what stands in for them does not count twice.
    pub num_left_out: u64,
    /// Groups that hold at least one of them.
    pub num_used: usize,
    /// All groups.
    pub num_groups: usize,
    /// Share of samples whose group is named by their own class when each group takes its commonest class;
    /// `None` without labels.
    pub purity: Option<f64>,
}

struct Member {
    sample: u32,
    label: i64,
    cosine: f64,
}

/// Draws the sheet to `path`.
///
/// # Errors
/// If the data cannot be read, libtorch refuses an operation, or the file cannot be written.
pub fn draw_groups(
    model: &SmogModel,
    source: &Arc<dyn Source>,
    stream: &EvalStream,
    normalizer: &Normalizer,
    pictures: GroupPictures,
    path: &Path,
    progress: Progress<'_>,
) -> Result<GroupPicturesReport> {
    ensure!(pictures.num_groups > 0 && pictures.num_images > 0, "a sheet needs groups and images");
    let num_groups = model.groups().size()[0] as usize;
    let mut members: Vec<Vec<Member>> = (0..num_groups).map(|_| Vec::new()).collect();
    let (mut num_samples, mut num_left_out) = (0, 0);
    stream.for_each(source.clone(), |batch| {
        let (groups, cosines) =
            smog_model::guard(|| nearest(model, pictures.branch, &normalizer.view(batch, 0)))?;
        for row in 0..batch.num_valid() {
            if !is_own(&batch.keys()[row]) {
                num_left_out += 1;
                continue;
            }
            members[groups[row] as usize].push(Member {
                sample: batch.keys()[row].sample.0,
                label: batch.labels()[row],
                cosine: cosines[row],
            });
            num_samples += 1;
        }
        let seen = num_samples as u64 + num_left_out;
        progress(seen);
        Ok(seen < pictures.num_samples)
    })?;
    let report = GroupPicturesReport {
        num_samples,
        num_left_out,
        num_used: members.iter().filter(|members| !members.is_empty()).count(),
        num_groups,
        purity: purity(&members, num_samples),
    };

    let mut fullest: Vec<usize> = (0..num_groups).collect();
    fullest.sort_by_key(|group| std::cmp::Reverse(members[*group].len()));
    fullest.truncate(pictures.num_groups);
    fullest.retain(|group| !members[*group].is_empty());
    for group in &fullest {
        members[*group].sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
    }
    let tiles = tiles(source, stream, &fullest, &members, pictures.num_images)?;
    let side = stream.size();
    let rows: Vec<Vec<Tile<'_>>> = fullest
        .iter()
        .map(|group| {
            members[*group]
                .iter()
                .filter_map(|member| tiles.get(&member.sample))
                .take(pictures.num_images)
                .map(|pixels| Tile { pixels, side })
                .collect()
        })
        .collect();
    let labels: Vec<String> =
        fullest.iter().map(|group| label(*group, &members[*group], source.classes())).collect();
    write_sheet(path, &rows, &labels)
        .with_context(|| format!("cannot write the sheet {}", path.display()))?;
    Ok(report)
}

/// Group and cosine to it per image.
fn nearest(model: &SmogModel, branch: EncoderBranch, images: &Tensor) -> (Vec<i64>, Vec<f64>) {
    no_grad(|| {
        let (projections, groups) = model.encode_groups(images, branch);
        let chosen = model.groups().index_select(0, &groups);
        let cosines =
            Tensor::cosine_similarity(&projections, &chosen, 1, 1e-12).to_kind(Kind::Double);
        (read(&groups), read(&cosines))
    })
}

fn read<T: tch::kind::Element + Copy>(tensor: &Tensor) -> Vec<T> {
    let tensor = tensor.contiguous();
    let mut values = vec![T::ZERO; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}

/// Pixels of the nearest images of each chosen group.
fn tiles(
    source: &Arc<dyn Source>,
    stream: &EvalStream,
    groups: &[usize],
    members: &[Vec<Member>],
    num_images: usize,
) -> Result<HashMap<u32, Vec<u8>>> {
    let mut tiles: HashMap<u32, Vec<u8>> = groups
        .iter()
        .flat_map(|group| members[*group].iter().take(num_images))
        .map(|member| (member.sample, Vec::new()))
        .collect();
    let mut missing = tiles.len();
    let tile_bytes = 3 * (stream.size() as usize).pow(2);
    stream.for_each(source.clone(), |batch| {
        for (row, key) in batch.keys()[..batch.num_valid()].iter().enumerate() {
            if let Some(tile) = tiles.get_mut(&key.sample.0)
                && tile.is_empty()
            {
                tile.extend_from_slice(&batch.view(0)[row * tile_bytes..][..tile_bytes]);
                missing -= 1;
            }
        }
        Ok(missing > 0)
    })?;
    Ok(tiles)
}

/// The commonest label and how many members have it; `None` without labels.
fn commonest(members: &[Member]) -> Option<(i64, usize)> {
    let mut counts: HashMap<i64, usize> = HashMap::new();
    for member in members.iter().filter(|member| member.label >= 0) {
        *counts.entry(member.label).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(label, count)| (*count, -label))
}

fn purity(members: &[Vec<Member>], num_samples: usize) -> Option<f64> {
    let named: Vec<usize> =
        members.iter().filter_map(|members| commonest(members)).map(|(_, count)| count).collect();
    (!named.is_empty()).then(|| named.iter().sum::<usize>() as f64 / num_samples as f64)
}

fn label(group: usize, members: &[Member], classes: &[String]) -> String {
    let base = format!("group {group}: {} images", members.len());
    match commonest(members) {
        Some((label, count)) => {
            let class = classes.get(label as usize).map_or("?", String::as_str);
            format!("{base}, {:.0} % {class}", 100.0 * count as f64 / members.len() as f64)
        }
        None => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(sample: u32, label: i64) -> Member {
        Member { sample, label, cosine: 0.0 }
    }

    #[test]
    fn purity_counts_the_commonest_class_of_each_group() {
        let members = vec![
            vec![member(0, 2), member(1, 2), member(2, 1)],
            vec![],
            vec![member(3, 0), member(4, 0)],
        ];
        assert_eq!(purity(&members, 5), Some(0.8));
        assert_eq!(label(0, &members[0], &[]), "group 0: 3 images, 67 % ?");
    }

    #[test]
    fn without_labels_there_is_no_purity() {
        let members = vec![vec![member(0, -1)]];
        assert_eq!(purity(&members, 1), None);
        assert_eq!(label(7, &members[0], &[]), "group 7: 1 images");
    }
}
