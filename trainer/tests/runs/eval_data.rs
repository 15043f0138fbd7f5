//! Which data an evaluation looks at: the run's own, or what its settings name for labels.

use crate::call::{call, results};
use crate::pictures::Pictures;
use crate::program::{command, run};
use crate::support::within;

#[test]
fn labels_are_looked_for_where_the_run_says_from_any_folder_and_all_else_in_its_own_data() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let labelled = dir.path().join("labelled");
        std::fs::create_dir(&labelled).unwrap();
        for split in ["train", "test"] {
            let path = labelled.join(format!("{split}-00000.parquet"));
            Pictures { count: 30, ..Pictures::default() }.write(&path);
        }
        let folder = dir.path().join("run");
        let sets =
            ["--steps", "2", "--set", "schedule.warmup=never", "--set", "eval.path=labelled"];
        let (code, err) = run(command(&folder, &sets).current_dir(dir.path()));
        assert_eq!(code, Some(0), "{err}");
        let stored = std::fs::read_to_string(folder.join("config.toml")).unwrap();
        let absolute = labelled.canonicalize().unwrap();
        let absolute = absolute.to_str().unwrap();
        assert!(stored.contains(&format!("path = \"{absolute}\"")), "{stored}");

        // The tests run in another folder.
        let on_run = |command: &[&str], more: &[&str]| {
            let (code, out, err) = call(&[command, &[folder.to_str().unwrap()], more].concat());
            assert_eq!(code, 0, "{command:?}: {out}{err}");
            out
        };
        let out = on_run(&["eval", "knn"], &["--k", "5", "--metric", "cosine"]);
        assert!(out.contains("30 against 30 samples"), "{out}");
        assert_eq!(results(&folder.join("eval"), "knn")[0]["data"], absolute);
        on_run(&["eval", "linear"], &["--epochs", "1"]);
        assert_eq!(results(&folder.join("eval"), "linear")[0]["data"], absolute);

        let file = dir.path().join("features.parquet");
        let out = on_run(&["embed"], &["--out", file.to_str().unwrap()]);
        assert!(out.contains("60 of 60 images of train in synthetic:60:32,"), "{out}");
        let out = on_run(&["eval", "clusters"], &[]);
        assert!(out.contains("60 labelled images of train in synthetic:60:32"), "{out}");
        let sheet = dir.path().join("groups.png");
        let out = on_run(&["eval", "groups"], &["--out", sheet.to_str().unwrap()]);
        assert!(out.contains("60 images of train in synthetic:60:32"), "{out}");
        let json = &results(&folder.join("eval"), "groups")[0];
        assert!(json["data"] == "synthetic:60:32" && json["split"] == "train", "{json}");
        let (code, out, _) = call(&[
            "embed",
            folder.to_str().unwrap(),
            "--data",
            absolute,
            "--out",
            file.to_str().unwrap(),
        ]);
        assert!(
            code == 0 && out.contains(&format!("30 of 30 images of train in {absolute}")),
            "{out}"
        );
    });
}
