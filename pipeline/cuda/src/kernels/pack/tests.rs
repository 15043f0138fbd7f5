use super::*;
use smog_pipeline::augment::ViewPlan;
use smog_pipeline::codec::Pixels;

fn memory(scratch_bytes: usize) -> Memory {
    let scratch_bytes = scratch_bytes as u64;
    Memory { params: 4096, scratch: 1 << 40, scratch_bytes, max_views: 100, max_side: 224 }
}

fn task(width: u32, height: u32, size: u32) -> ViewTask {
    let crop = CropBox { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
    ViewTask {
        surface: Surface { pixels: 1 << 50, width, height, pitch: 3 * width },
        plan: ViewPlan {
            size,
            crop,
            flip: false,
            jitter: None,
            gray: false,
            blur: Some(1.0),
            solarize: None,
        },
        orientation: Orientation::AsStored,
        out: 1 << 60,
    }
}

fn pack(tasks: &[ViewTask], memory: &Memory) -> Result<Packed, CudaError> {
    let mut packed = Packed::default();
    packed.pack(tasks, PixelKind::Bf16, memory)?;
    Ok(packed)
}

/// All parts of scratch memory of a view: address and bytes.
fn parts(view: &View) -> Vec<(u64, u64)> {
    let side = u64::from(view.side);
    let mut parts = vec![
        (view.columns.spans, 8 * side),
        (view.rows.spans, 8 * side),
        (view.columns.weights, 2 * side * u64::from(view.columns.taps)),
        (view.rows.weights, 2 * side * u64::from(view.rows.taps)),
    ];
    if view.flags & TWO_PASSES != 0 {
        parts.push((view.lines, 6 * side * u64::from(view.lines_width)));
    }
    if view.flags & BLUR != 0 {
        parts.push((view.blurred, 6 * side * side));
    }
    parts
}

#[test]
fn parts_of_scratch_memory_lie_inside_it_and_apart_in_every_group() {
    let sizes = [(500, 375, 224), (3000, 2000, 96), (17, 9, 32), (1000, 1000, 64)];
    let tasks: Vec<_> =
        (0..60).map(|index| sizes[index % 4]).map(|(w, h, s)| task(w, h, s)).collect();
    for extra in [0, 1 << 20, 1 << 30] {
        let memory = memory(Memory::least_scratch(100, 224) + extra);
        let packed = pack(&tasks, &memory).unwrap();
        assert_eq!(packed.views.len(), 60);
        assert_eq!(packed.groups.len() == 1, extra == 1 << 30, "{}", packed.groups.len());
        let mut next = 0;
        for group in &packed.groups {
            assert_eq!(group.first, next);
            next += group.num_views;
            // The sums of grey levels lie first.
            let mut taken = vec![(memory.scratch, 4 * 100)];
            taken.extend(packed.views[group.first..next].iter().flat_map(parts));
            taken.sort_unstable();
            for pair in taken.windows(2) {
                assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?}");
            }
            let (last, bytes) = taken[taken.len() - 1];
            assert!(last + bytes <= memory.scratch + memory.scratch_bytes);
            assert!(taken.iter().all(|(address, _)| address % 8 == 0));
        }
        assert_eq!(next, 60);
    }
}

#[test]
fn tiles_follow_each_other_and_stages_without_work_have_none() {
    let mut plain = task(400, 300, 224);
    plain.plan.blur = None;
    let tasks = [task(400, 300, 224), plain, task(2000, 2000, 32), task(200, 150, 96)];
    let packed = pack(&tasks, &memory(1 << 30)).unwrap();
    let [group] = packed.groups[..] else { panic!("one group, {:?}", packed.groups) };
    assert_eq!(group.num_tiles[RESAMPLE], 49 + 49 + 1 + 9);
    assert_eq!(group.num_tiles[BLUR_ROWS], 49 + 1 + 9);
    assert_eq!(group.num_tiles[COLOUR], 0);
    assert_eq!(group.num_tiles[LINES], (32 * 2000u32).div_ceil(1024));
    let firsts = |stage: usize| packed.views.iter().map(|view| view.first_tile[stage]).collect();
    let blur: Vec<u32> = firsts(BLUR_ROWS);
    assert_eq!(blur, [0, 49, 49, 50]);
    let resample: Vec<u32> = firsts(RESAMPLE);
    assert_eq!(resample, [0, 49, 98, 99]);
}

#[test]
fn a_view_whose_lines_never_fit_is_made_in_one_pass() {
    let packed = pack(&[task(30_000, 4_000, 224)], &memory(Memory::least_scratch(100, 224)));
    assert_eq!(packed.unwrap().views[0].flags & TWO_PASSES, 0);
    let packed = pack(&[task(30_000, 4_000, 224)], &memory(1 << 30));
    assert_eq!(packed.unwrap().views[0].flags & TWO_PASSES, TWO_PASSES);
}

#[test]
fn the_least_scratch_memory_suffices_for_the_largest_image() {
    for (width, height) in [(65_535, 65_535), (1, 65_535), (65_535, 1)] {
        for size in [8, 224] {
            pack(&[task(width, height, size)], &memory(Memory::least_scratch(100, 224))).unwrap();
        }
    }
}

/// Every pixel of every orientation is where the CPU renderer takes it from.
#[test]
fn steps_lead_to_the_pixels_that_are_shown() {
    let stored = Pixels {
        width: 5,
        height: 3,
        data: (0..15).flat_map(|value| [value; 3]).collect(),
        scale: 1,
        ..Pixels::default()
    };
    for tag in 1..=8 {
        let orientation = Orientation::from_tag(tag);
        let mut buffer = Pixels::default();
        let shown = orientation.apply(&stored, &mut buffer);
        let steps = steps(orientation, shown.width, shown.height, 3 * 5);
        for y in 0..shown.height {
            for x in 0..shown.width {
                let at = steps.first + i64::from(x) * steps.step_x + i64::from(y) * steps.step_y;
                let expected = shown.data[(3 * (y * shown.width + x)) as usize];
                assert_eq!(stored.data[at as usize], expected, "tag {tag}, {x} {y}");
            }
        }
    }
}

#[test]
fn what_kernels_cannot_do_is_refused_by_name() {
    let good = task(100, 100, 64);
    let with = |change: fn(&mut ViewTask)| {
        let mut task = good;
        change(&mut task);
        pack(&[task], &memory(1 << 30)).map(|_| ()).expect_err("it is out of range").to_string()
    };
    let jitter = smog_pipeline::augment::JitterPlan {
        order: [JitterOp::Contrast, JitterOp::Hue, JitterOp::Contrast, JitterOp::Brightness],
        brightness: 1.0,
        contrast: 1.0,
        saturation: 1.0,
        hue: 0.0,
    };
    assert!(with(|task| task.plan.size = 225).contains("plan.size = 225, expected 2 to 224"));
    assert!(with(|task| task.surface.pitch = 299).contains("surface"));
    assert!(with(|task| task.surface.width = 0).contains("surface"));
    assert!(with(|task| task.out = 3).contains("out"));
    assert!(with(|task| task.plan.crop.x = f64::NAN).contains("plan.crop"));
    assert!(with(|task| task.plan.blur = Some(f32::NAN)).contains("plan.blur"));
    let mut twice = good;
    twice.plan.jitter = Some(jitter);
    let error = pack(&[twice], &memory(1 << 30)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("contrast once"), "{error}");
    let error = pack(&[good; 101], &memory(1 << 30)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("views = 101"), "{error}");
}
