//! The program and libtorch's CUDA half on a machine without a GPU: what it says, and that it goes on with the CPU.
//!
//! The real `libtorch_cuda.so` needs two gigabytes of NVIDIA's libraries. Empty ones with their names and version nodes
//! stand in for them here, which is enough for it to load and to register its kernels; CUDA's runtime is the real one.
//! `scripts/setup cuda-half` fetches the library and prints its folder, which `SMOG_TEST_LIBTORCH_CUDA` hands over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::command;
use crate::support::events;

const BINARY: &str = env!("CARGO_BIN_EXE_smog-trainer");
const HALF: [&str; 2] = ["libtorch_cuda.so", "libc10_cuda.so"];
/// Of the system, or loaded with the CPU half.
const THERE: [&str; 11] = [
    "ld-linux-x86-64.so",
    "libc.so",
    "libc10.so",
    "libc10_cuda.so",
    "libcudart.so",
    "libdl.so",
    "libgcc_s.so",
    "libm.so",
    "libpthread.so",
    "librt.so",
    "libstdc++.so",
];

fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// With nothing in its surroundings that leads to CUDA.
fn alone(mut command: Command) -> Command {
    command.env_remove("LD_LIBRARY_PATH").env_remove("SMOG_LIBTORCH_CUDA");
    command
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args);
    alone(command)
}

fn train(run: &Path, device: &str) -> Command {
    let args = ["--steps", "2", "--device", device, "--set", "schedule.warmup=never"];
    alone(command(run, &args))
}

/// Libraries that `library` needs, with the version nodes that it needs of each.
fn needs(library: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let (code, text) = run(Command::new("objdump").arg("-p").arg(library));
    assert_eq!(code, Some(0), "{text}");
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut from = None;
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["NEEDED", name] => drop(needs.entry((*name).to_owned()).or_default()),
            ["required", "from", name] => from = Some(name.trim_end_matches(':').to_owned()),
            [hash, _, _, node] if hash.starts_with("0x") => {
                if let Some(name) = &from {
                    needs.entry(name.clone()).or_default().insert((*node).to_owned());
                }
            }
            _ => from = None,
        }
    }
    needs
}

/// An empty library of this name for each one of NVIDIA's that the half needs.
fn make_stubs(half: &Path, into: &Path) -> usize {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for library in HALF {
        for (name, nodes) in needs(&half.join(library)) {
            all.entry(name).or_default().extend(nodes);
        }
    }
    all.retain(|name, _| {
        name != "libtorch_cpu.so" && !THERE.iter().any(|there| name.starts_with(there))
    });
    for (name, nodes) in &all {
        let script = into.join("versions");
        let text: String = nodes.iter().map(|node| format!("{node} {{ }};\n")).collect();
        std::fs::write(&script, text).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-nostdlib", "-x", "c", "/dev/null", "-o"]).arg(into.join(name));
        compiler.arg(format!("-Wl,-soname,{name}"));
        if !nodes.is_empty() {
            compiler.arg(format!("-Wl,--version-script={}", script.display()));
        }
        let (code, text) = run(&mut compiler);
        assert_eq!(code, Some(0), "{name}: {text}");
    }
    all.len()
}

/// The folder of the real library, if it was fetched.
fn half() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("SMOG_TEST_LIBTORCH_CUDA").map(PathBuf::from) else {
        println!(
            "SKIPPED: SMOG_TEST_LIBTORCH_CUDA is not set, so the program was NOT started with the real \
             libtorch_cuda.so (SMOG_TEST_LIBTORCH_CUDA=$(scripts/setup cuda-half) make test; 530 MB to fetch)"
        );
        return None;
    };
    for library in HALF {
        assert!(folder.join(library).is_file(), "{} lacks {library}", folder.display());
    }
    Some(folder)
}

#[test]
fn without_the_library_its_name_and_the_way_on_are_said_and_auto_trains_on_the_cpu() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (code, text) = run(&mut train(&path, "cuda:0"));
    assert_eq!(code, Some(2), "{text}");
    for part in [
        "run.device = cuda:0: no libtorch_cuda.so: libtorch_cuda.so: cannot open shared object file",
        "SMOG_LIBTORCH_CUDA",
        "--set run.device=cpu",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!path.exists(), "a refused run leaves nothing behind");

    let (code, text) = run(&mut train(&path, "auto"));
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("device: ")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(lines[0], "device: cpu (no GPU support found; smog-trainer devices says why)");
    assert_eq!(events(&path, "start")[0]["device"], "cpu");
    assert_eq!(events(&path, "end")[0]["finished"], true);

    let output = program(&["devices"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("device: cpu (no libtorch_cuda.so: libtorch_cuda.so: "), "{text}");
    let empty = dir.path().to_str().unwrap();
    let (code, text) =
        run(program(&["devices", "--device", "cuda"]).env("SMOG_LIBTORCH_CUDA", empty));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&format!("{empty}/libtorch_cuda.so: cannot open")), "{text}");
}

#[test]
fn the_real_library_is_loaded_before_anything_asks_for_cuda_and_the_cpu_still_trains() {
    let Some(half) = half() else { return };
    let dir = tempfile::tempdir().unwrap();
    let stubs = dir.path().join("stubs");
    std::fs::create_dir(&stubs).unwrap();

    // The library alone: the first of NVIDIA's that is not there is named.
    let mut alone = program(&["devices", "--device", "cuda"]);
    let (code, text) = run(alone.env("SMOG_LIBTORCH_CUDA", &half));
    assert_eq!(code, Some(2), "{text}");
    let missing = text.contains(".so") && text.contains("cannot open shared object file");
    assert!(missing && text.contains("no libtorch_cuda.so"), "{text}");

    assert!(make_stubs(&half, &stubs) >= 9);
    let folders = std::env::join_paths([&stubs, &half]).unwrap();
    let path = dir.path().join("run");
    let (code, text) = run(train(&path, "cuda:0").env("LD_LIBRARY_PATH", &folders));
    assert_eq!(code, Some(2), "{text}");
    // The words of the CUDA half: the stand-ins of the CPU half would say "without ATen_cuda library".
    assert!(text.contains("libtorch_cuda.so was loaded, and libtorch says: "), "{text}");
    assert!(text.contains("NVIDIA driver") && !text.contains("ATen_cuda"), "{text}");
    assert!(text.contains("--set run.device=cpu") && !path.exists(), "{text}");

    let (code, text) = run(train(&path, "auto").env("LD_LIBRARY_PATH", &folders));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("device: cpu (") && text.contains("NVIDIA driver"), "{text}");
    assert_eq!(events(&path, "step").last().unwrap()["step"], 2);

    let json = &["devices", "--json"];
    let (code, text) =
        run(program(json).env("LD_LIBRARY_PATH", &stubs).env("SMOG_LIBTORCH_CUDA", &half));
    assert_eq!(code, Some(0), "{text}");
    let found: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(found["libtorch"], "2.11.0");
    assert_eq!(found["libtorch_cuda"], half.join("libtorch_cuda.so").to_str().unwrap());
    assert!(found["why_not_cuda"].as_str().unwrap().contains("NVIDIA driver"), "{found}");
}
