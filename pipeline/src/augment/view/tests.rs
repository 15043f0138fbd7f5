use super::*;
use crate::augment::{Recipe, SamplePlan};
use crate::codec::Pixels;
use crate::draw::{Domain, Draw};
use crate::sample::{
    ImageFlags, ImageFormat, ImageMeta, Ordinal, SampleId, SampleKey, Subsampling,
};

/// Every operation is switched on in one plan or another.
#[test]
fn instruction_sets_give_the_same_views_at_every_size() {
    let mut draw = Draw::new(3, Domain::Synthetic, [0; 5]);
    let (width, height) = (120, 90);
    let data = (0..3 * width * height).map(|_| draw.bits32() as u8).collect();
    let image = Pixels { width, height, data, scale: 1, ..Pixels::default() };
    let meta = ImageMeta {
        format: ImageFormat::Jpeg,
        width,
        height,
        components: 3,
        subsampling: Subsampling::S444,
        orientation: 1,
        progressive: false,
        flags: ImageFlags::default(),
        bytes: 0,
    };
    let (mut best, mut baseline) =
        (ViewKernels::new(Simd::best()), ViewKernels::new(Simd::BASELINE));
    let mut plan = SamplePlan::default();
    for sample in 0..60 {
        // Odd sizes leave something over at the end of every vector loop.
        let size = 8 + sample % 47;
        let mut recipe = Recipe::smog();
        recipe.views.iter_mut().for_each(|view| view.size = size);
        let key = SampleKey { epoch: 0, ordinal: Ordinal(0), sample: SampleId(sample), attempt: 0 };
        recipe.draw(5, &key, &meta, &mut plan);
        for plan in &plan.views {
            let mut views = [(); 2].map(|()| vec![0; 3 * (size * size) as usize]);
            best.render(&image, plan, &mut views[0]);
            baseline.render(&image, plan, &mut views[1]);
            assert!(views[0] == views[1], "{plan:?}");
        }
    }
}

#[test]
fn what_is_stored_is_what_was_loaded() {
    let mut kernels = ViewKernels::default();
    for side in [8, 17, 64] {
        let view: Vec<u8> = (0..3 * side * side).map(|at| (at * 7 % 251) as u8).collect();
        let mut found = vec![0; view.len()];
        kernels.load(&view, side);
        kernels.store(&mut found);
        assert_eq!(found, view);
    }
}
