use super::*;

fn preset(name: &str) -> RawConfig {
    RawConfig::preset(name).unwrap()
}

fn refused(raw: &RawConfig) -> String {
    raw.resolve().unwrap_err().to_string()
}

#[test]
fn a_size_that_does_not_suit_the_encoder_is_refused_with_its_key() {
    let with = |sets: &[&str]| {
        sets.iter().fold(preset("imagenet-vit-s"), |raw, set| raw.with_set(set).unwrap())
    };
    for (sets, key) in [
        (["augment.views.1.size=90", "eval.size=224"], "augment.views.1.size = 90"),
        (["augment.views.1.size=224", "eval.size=100"], "eval.size = 100"),
        (["model.encoder.arch=swin_t", "augment.views.0.size=222"], "augment.views.0.size = 222"),
        (["model.encoder.image_size=100", "eval.size=224"], "encoder.image_size"),
        (["model.encoder.arch=resnet18", "eval.size=224"], "encoder.drop_path"),
    ] {
        let message = refused(&with(&sets));
        assert!(message.contains(key), "{message}");
    }
    let small = ["augment.views.0.size=32", "augment.views.1.size=36", "eval.size=32"];
    let patch = ["model.encoder.patch=4", "model.encoder.image_size=32"];
    with(&[&small[..], &patch[..]].concat()).resolve().unwrap();
}

#[test]
fn pictures_of_evaluations_that_cannot_be_made_are_refused_before_the_run() {
    for (sets, expected) in [
        (&["eval.size=1200", "eval.resize=0"][..], "eval.size = 1200: expected 8 to 1024 pixels"),
        (&["eval.size=4", "eval.resize=0"], "eval.size = 4: expected 8"),
        (&["eval.size=32", "eval.resize=5000"], "eval.resize = 5000: expected 32"),
    ] {
        let raw = sets.iter().fold(preset("demo"), |raw, set| raw.with_set(set).unwrap());
        let message = refused(&raw);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_is_set_for_a_kind_holds_wherever_the_kind_is_set() {
    let sets = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        preset("demo").with_sets(&sets).unwrap().resolve().unwrap()
    };
    // The preset has AdamW.
    let (kind, decay) = ("optimizer.kind=lars", "optimizer.weight_decay=0.0123");
    let config = sets(&[decay, kind]);
    assert_eq!(config, sets(&[kind, decay]));
    assert!(config.to_toml().contains("weight_decay = 0.0123"), "{}", config.to_toml());
}

#[test]
fn a_set_that_the_network_does_not_look_at_is_refused_and_a_preset_of_another_is_not() {
    for (sets, key) in [
        (&["model.encoder.patch=8"][..], "model.encoder.patch = 8"),
        (&["model.encoder.image_size=96"], "model.encoder.image_size = 96"),
        (
            &["model.encoder.arch=vit_small", "model.encoder.stem=imagenet"],
            "model.encoder.stem = imagenet",
        ),
    ] {
        let small = ["augment.views.0.size=32", "augment.views.1.size=32"];
        let raw =
            small.iter().chain(sets).fold(preset("demo"), |raw, set| raw.with_set(set).unwrap());
        let message = refused(&raw);
        assert!(message.starts_with("--set: ") && message.contains(key), "{message}");
    }
    let stored = preset("demo").resolve().unwrap().to_toml();
    assert!(stored.contains("\npatch = 0\n"));
    let stored = stored.replace("\npatch = 0\n", "\npatch = 8\n");
    RawConfig::default().with_text(&stored, "config.toml").unwrap().resolve().unwrap();
}

#[test]
fn an_unknown_preset_names_the_nearest() {
    let message = RawConfig::preset("cifar-resnet18").unwrap_err().to_string();
    assert!(message.contains("did you mean `cifar10-resnet18`"), "{message}");
}

#[test]
fn an_unknown_key_is_refused_with_its_section_and_the_nearest_key() {
    for (set, unknown, nearest) in [
        ("run.batchsize=64", "`run.batchsize`", "`run.batch_size`"),
        ("model.groups.cuont=3", "`model.groups.cuont`", "`model.groups.count`"),
        ("optimizer.weightdecay=0.1", "`optimizer.weightdecay`", "`optimizer.weight_decay`"),
        ("augment.views.0.flipp=0.1", "`augment.views.0.flipp`", "`augment.views.0.flip`"),
        ("shedule.warmup=never", "`shedule`", "`schedule`"),
    ] {
        let message = refused(&preset("demo").with_set(set).unwrap());
        assert!(message.contains(&format!("unknown setting {unknown}")), "{set}: {message}");
        assert!(message.contains(&format!("did you mean {nearest}")), "{set}: {message}");
    }
}

/// `scale` is a key of a crop, not of a view, and `size` of a view, not of its crop.
#[test]
fn an_unknown_key_is_named_where_it_stands_though_it_is_known_elsewhere() {
    for (sets, unknown) in [
        (&["augment.views.1.scale=[0.1,1]"][..], "`augment.views.1.scale`"),
        (&["augment.views.1.crop.size=3"], "`augment.views.1.crop.size`"),
        (&["augment.views.0.scale=3", "augment.views.1.scale=3"], "`augment.views.0.scale`"),
    ] {
        let raw = sets.iter().fold(preset("demo"), |raw, set| raw.with_set(set).unwrap());
        let message = refused(&raw);
        let expected = format!("--set: unknown setting {unknown}");
        assert!(message.starts_with(&expected), "{sets:?}: {message}");
    }
}

#[test]
fn later_layers_win_and_leave_the_rest() {
    let config = preset("cifar10-resnet18")
        .with_text("[run]\nbatch_size = 64\nseed = 5\n[model.groups]\ncount = 20", "file")
        .unwrap()
        .with_set("run.batch_size=32")
        .unwrap()
        .with_set("run.device=cpu")
        .unwrap()
        .with_set("augment.views.1.size=24")
        .unwrap()
        .resolve()
        .unwrap();
    assert_eq!((config.run.batch_size, config.run.seed, config.model.groups.count), (32, 5, 20));
    assert_eq!(config.run.device, "cpu");
    assert_eq!(config.augment.views[1].size, 24);
    assert_eq!(config.model.dim, 128, "keys that no layer names stay");
}

#[test]
fn another_kind_of_optimiser_replaces_the_settings_of_the_first() {
    let config =
        preset("cifar10-resnet18").with_set("optimizer.kind=adamw").unwrap().resolve().unwrap();
    assert!(matches!(config.optimizer, smog_model::OptimizerConfig::AdamW(_)));
    let config = preset("cifar10-resnet18")
        .with_text("[optimizer]\nkind = \"lars\"", "file")
        .unwrap()
        .resolve()
        .unwrap();
    assert!(matches!(config.optimizer, smog_model::OptimizerConfig::Lars(_)));
}

#[test]
fn a_value_of_the_wrong_type_names_layer_key_value_and_what_is_expected() {
    for (set, parts) in [
        ("run.batch_size=abc", &["run.batch_size = \"abc\"", "expected a whole number from 0"][..]),
        ("run.batch_size=-5", &["run.batch_size = -5", "expected a whole number from 0"]),
        ("run.tf32=3", &["run.tf32 = 3", "expected true or false"]),
        ("reset.every=300", &["reset.every = 300", "\"300 steps\""]),
        ("reset.every=\"300\"", &["reset.every = \"300\"", "\"300 steps\""]),
        ("stream.max_bad=5", &["stream.max_bad = 5", "with its unit in quotes"]),
        ("stream.decoder=fast", &["stream.decoder = \"fast\"", "expected one of \""]),
        // Within an enum that is told by its kind, and within a list.
        ("optimizer.weight_decay=much", &["optimizer.weight_decay = \"much\"", "a number"]),
        ("stream.order.row_groups=x", &["stream.order.row_groups = \"x\"", "whole number"]),
        ("augment.views.1.flip=often", &["augment.views.1.flip = \"often\"", "a number"]),
        ("augment.views.0.crop.scale.1=x", &["augment.views.0.crop.scale.1 = \"x\""]),
    ] {
        let message = refused(&preset("demo").with_set(set).unwrap());
        assert!(message.starts_with("--set: "), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{set}: {message}");
    }
    let file = preset("demo").with_text("[run]\nlength = 20", "my.toml").unwrap();
    let message = refused(&file);
    assert!(
        message.starts_with("my.toml:2:10: run.length = 20: expected a number with its unit"),
        "{message}"
    );
    let flag = preset("demo").with_flag("--batch-size", "run.batch_size=1").unwrap();
    assert!(refused(&flag).starts_with("--batch-size: run.batch_size = 1"), "{}", refused(&flag));
}

#[test]
fn slips_in_several_sections_are_named_at_once_with_their_file() {
    let text = "[run]\nbatchsize = 3\n[modle]\ndim = 3\n[eval]\nk = \"many\"";
    let message = refused(&preset("demo").with_text(text, "my.toml").unwrap());
    for part in [
        "3 settings are wrong",
        "my.toml:2:1: unknown setting `run.batchsize`, did you mean `run.batch_size`?",
        "my.toml:3:2: unknown setting `modle`, did you mean `model`?",
        "my.toml:6:5: eval.k = \"many\"",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_setting_that_is_wrong_is_found_in_the_layer_that_says_so() {
    let below = preset("demo").with_text("[run]\nseed = 3\n[eval]\nk = \"many\"", "below.toml");
    let raw = below.unwrap().with_text("\n[run]\n  seed = \"ü\"", "my.toml").unwrap();
    let message = refused(&raw.with_set("run.tf32=3").unwrap().with_set("model.dimm=3").unwrap());
    for part in [
        "below.toml:4:5: eval.k = ",
        "my.toml:3:10: run.seed = ",
        "--set: unknown setting `model.dimm`",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let view = preset("demo").with_text("[[augment.views]]\nsize = 64\nflipp = 0.5", "my.toml");
    let message = refused(&view.unwrap());
    assert!(
        message.starts_with("my.toml:3:1: unknown setting `augment.views.0.flipp`"),
        "{message}"
    );
    // What is out of range, too; and what the file said is forgotten where a flag says otherwise.
    let range = preset("demo").with_text("[run]\nlog_every = \"9 epochs\"", "my.toml").unwrap();
    let message = refused(&range);
    assert!(message.starts_with("my.toml:2:13: run.log_every = 9 epochs"), "{message}");
    let message = refused(&range.with_set("run.log_every=\"8 epochs\"").unwrap());
    assert!(message.starts_with("--set: run.log_every = 8 epochs"), "{message}");
}

#[test]
fn a_table_that_lacks_a_key_is_named_with_its_place() {
    let crop = "crop = { kind = \"center\", resize = 64 }";
    for (views, expected) in [
        (
            format!("[[augment.views]]\n{crop}\nsize = 64\n[[augment.views]]\n{crop}"),
            "my.toml:4:1: augment.views.1 lacks `size`",
        ),
        (
            format!("[[augment.views]]\n{crop}\nsize = 64\nblur = {{ sigma = [0.1, 2.0] }}"),
            "my.toml:4:8: augment.views.0.blur lacks `p`",
        ),
        (
            "[[augment.views]]\nsize = 64\ncrop = { kind = \"center\" }".to_owned(),
            "my.toml:3:8: augment.views.0.crop lacks `resize`",
        ),
    ] {
        let message = refused(&preset("demo").with_text(&views, "my.toml").unwrap());
        assert_eq!(message, expected);
    }
}

#[test]
fn what_is_not_toml_is_shown_with_its_line() {
    for (text, start, line) in [
        ("[run]\nbatch_size = 3x\n", "my.toml:2:", "the line is `batch_size = 3x`"),
        ("[run]\nname = \"x\n", "my.toml:2:", "the line is `name = \"x`"),
        (
            "[run]\nseed = 1\n  seed = 2\n",
            "my.toml:3:3: not valid TOML: duplicate key",
            "`seed = 2`",
        ),
        ("[run\nseed = 1", "my.toml:1:", "the line is `[run`"),
        ("seed", "my.toml:1:", "the line is `seed`"),
    ] {
        let message = preset("demo").with_text(text, "my.toml").unwrap_err().to_string();
        assert!(message.starts_with(start) && message.contains("not valid TOML: "), "{message}");
        assert!(message.contains(line), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn the_width_of_the_window_needs_no_kind() {
    let text = "[stream.order]\nrow_groups = 8";
    let config = preset("demo").with_text(text, "my.toml").unwrap().resolve().unwrap();
    assert_eq!(config.stream.order, smog_pipeline::order::OrderSettings::Window { row_groups: 8 });
    let config = preset("demo").with_set("stream.order.kind=full").unwrap().resolve().unwrap();
    assert_eq!(config.stream.order, smog_pipeline::order::OrderSettings::Full);
}

#[test]
fn changes_are_all_that_differs_harmless_or_not() {
    let base = preset("demo").resolve().unwrap();
    let set = preset("demo").with_set("run.threads=3").unwrap().with_set("run.seed=4").unwrap();
    let changes = set.resolve().unwrap().changes(&base);
    let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys, ["run.seed", "run.threads"]);
    assert_eq!((changes[0].is_fixed(), changes[1].is_fixed()), (true, false));
    // Only a run's first step could follow it.
    let mut other = base.clone();
    other.run.init = Some("encoder.safetensors".into());
    let changes = other.differences(&base.to_table());
    assert_eq!((changes[0].key.as_str(), changes[0].is_fixed()), ("run.init", true));
}

#[test]
fn a_value_out_of_range_names_key_value_and_what_is_allowed() {
    for (set, key) in [
        ("run.batch_size=1", "run.batch_size = 1"),
        ("run.length=never", "run.length = never"),
        ("run.device=gpu", "run.device = gpu"),
        ("run.name=a/b", "run.name = a/b"),
        ("run.log_every=\"1 epochs\"", "run.log_every = 1 epochs"),
        ("run.keep_checkpoints=0", "run.keep_checkpoints = 0"),
        ("schedule.lr_per_256=0.0", "schedule.lr_per_256 = 0"),
        ("schedule.momentum_start=1.5", "schedule.momentum_start = 1.5"),
        ("schedule.warmup_start=1.5", "schedule.warmup_start = 1.5"),
        ("schedule.warmup=\"100 %\"", "schedule.warmup = 100 %"),
        ("reset.every=\"5 %\"", "reset.every = 5 %"),
        ("reset.kmeans.passes=0", "reset.kmeans.passes = 0"),
        ("eval.k=0", "eval.k = 0"),
        ("eval.resize=8", "eval.resize = 8"),
        ("stream.max_bad=\"3 steps\"", "stream.max_bad = 3 steps"),
        ("model.groups.count=1", "groups.count"),
        ("augment.views=[]", "there are no views"),
    ] {
        let message = refused(&preset("demo").with_set(set).unwrap());
        assert!(message.contains(key), "{set}: {message}");
    }
}

#[test]
fn a_bad_set_flag_says_what_is_wrong_with_it() {
    for (set, problem) in [
        ("run.batch_size", "expected section.key=value"),
        ("batch_size=3", "with a section"),
        ("run.batch_size.x=3", "below a plain value"),
        ("augment.views.9.flip=0", "no entry of the list"),
    ] {
        let message = preset("demo").with_set(set).unwrap_err().to_string();
        assert!(message.contains(problem), "{set}: {message}");
    }
}

#[test]
fn a_setting_that_is_younger_than_a_checkpoint_had_its_default() {
    let now = preset("demo").resolve().unwrap();
    let mut saved = now.to_table();
    saved["run"].as_table_mut().unwrap().remove("precision").unwrap();
    assert_eq!(now.differences(&saved), []);
    let now = preset("demo").with_set("run.precision=bf16").unwrap().resolve().unwrap();
    let differences = now.differences(&saved);
    assert_eq!(differences[0].key, "run.precision");
    assert!(differences[0].saved.contains("f32"), "{differences:?}");
}

#[test]
fn only_settings_that_change_a_step_count_as_differences() {
    let saved = preset("demo").resolve().unwrap();
    let now = |set: &str| preset("demo").with_set(set).unwrap().resolve().unwrap();
    for set in [
        "run.threads=7",
        "stream.workers=3",
        "run.log_every=\"3 steps\"",
        "eval.knn_every=never",
        "eval.k=7",
    ] {
        assert_eq!(now(set).differences(&saved.to_table()), [], "{set}");
        assert_eq!(now(set).digest(), saved.digest(), "{set}");
    }
    let changed = now("model.groups.count=31");
    let differences = changed.differences(&saved.to_table());
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].key, "model.groups.count");
    assert_eq!(differences[0].now, "31");
    assert_ne!(changed.digest(), saved.digest());
}
