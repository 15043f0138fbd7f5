//! The contact sheet: samples with the views that training sees of them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use smog_pipeline::augment::{Recipe, SamplePlan, ViewPlan};
use smog_pipeline::codec::{DecodeRequest, Pixels, decoder};
use smog_pipeline::draw::{Domain, Draw};
use smog_pipeline::render::sample::{RenderSettings, RenderTimings, RowViews, SampleRenderer};
use smog_pipeline::sample::{Ordinal, RowGroupId, SampleId, SampleKey};
use smog_pipeline::sheet::{Tile, thumbnail, write_sheet};
use smog_pipeline::source::Source;

/// Most samples on one sheet.
pub(super) const MAX_SAMPLES: i64 = 256;

/// Reads `--out`. The sheet is a PNG whatever it is called, and programs go by the name.
pub(super) fn png_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let ending = path.extension().unwrap_or_default();
    match ending.eq_ignore_ascii_case("png") {
        true => Ok(path),
        false => {
            Err(format!("the sheet is a PNG; call it {}", path.with_extension("png").display()))
        }
    }
}

/// Which samples and which of their views.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    pub(super) samples: u32,
    pub(super) seed: u64,
    pub(super) epoch: u32,
}

/// Writes the sheet and says how many samples are on it. Each row begins with the whole image.
pub(super) fn write(
    source: &dyn Source,
    recipe: &Recipe,
    choice: Choice,
    out: &Path,
) -> anyhow::Result<usize> {
    let settings = RenderSettings::default();
    let mut renderer = SampleRenderer::new(&settings);
    let mut decoder = decoder(settings.decoder, settings.limits);
    let mut image = Pixels::default();
    let side = recipe.view_sizes().into_iter().max().unwrap_or(224);
    let mut plan = SamplePlan::default();
    let mut rows = Vec::new();
    let mut labels = Vec::new();
    for sample in chosen(source, choice) {
        let index = source.row_groups().partition_point(|info| info.first_sample <= sample) - 1;
        let group = source.read(RowGroupId(index as u32))?;
        let row = sample.0 - group.first_sample.0;
        let (meta, path) = (group.metas[row as usize], &group.paths[row as usize]);
        let key = SampleKey { epoch: choice.epoch, ordinal: Ordinal(0), sample, attempt: 0 };
        let shown = settings.displayed(&meta);
        recipe.draw(choice.seed, &key, &shown, &mut plan);
        let encoded = group.encoded(row);
        let mut views = Views::for_plan(&plan);
        renderer
            .render(encoded, &meta, &plan, &mut views, &mut RenderTimings::default())
            .and_then(|()| decoder.decode(encoded, &meta, &DecodeRequest::WHOLE, &mut image))
            .with_context(|| format!("cannot show sample {} ({path})", sample.0))?;
        views.0.insert(0, (side, thumbnail(&image, side)));
        rows.push(views);
        let class = usize::try_from(group.labels[row as usize])
            .ok()
            .and_then(|label| source.classes().get(label));
        labels.push(match class {
            Some(class) => format!("{} {class}", sample.0),
            None => format!("{} {path}", sample.0),
        });
    }
    let tiles: Vec<Vec<Tile<'_>>> = rows.iter().map(Views::tiles).collect();
    write_sheet(out, &tiles, &labels)?;
    Ok(tiles.len())
}

/// Distinct samples, drawn by the seed, in ascending order.
fn chosen(source: &dyn Source, choice: Choice) -> Vec<SampleId> {
    let total = source.num_samples() as u32; // the manifest was validated: it fits
    let wanted = choice.samples.min(total);
    let mut draw = Draw::new(choice.seed, Domain::Selection, [0; 5]);
    let mut found = std::collections::BTreeSet::new();
    while (found.len() as u32) < wanted {
        found.insert(SampleId(draw.below(total)));
    }
    found.into_iter().collect()
}

/// Pixels of all views of one sample.
struct Views(Vec<(u32, Vec<u8>)>);

impl Views {
    fn for_plan(plan: &SamplePlan) -> Self {
        let pixels = |view: &ViewPlan| vec![0; 3 * (view.size * view.size) as usize];
        Self(plan.views.iter().map(|view| (view.size, pixels(view))).collect())
    }

    fn tiles(&self) -> Vec<Tile<'_>> {
        self.0.iter().map(|(side, pixels)| Tile { pixels, side: *side }).collect()
    }
}

impl RowViews for Views {
    fn view(&mut self, index: usize) -> &mut [u8] {
        &mut self.0[index].1
    }
}
