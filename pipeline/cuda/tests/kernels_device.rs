//! The kernels on a GPU, where there is one: the same values as the CPU renderer's, all of them.

use smog_cuda::driver::Gpu;
use smog_cuda::kernels::{KernelOptions, Kernels, check};

#[test]
fn views_of_the_device_are_those_of_the_cpu_renderer() {
    let gpu = match Gpu::open(0) {
        Ok(gpu) => gpu,
        Err(error) => {
            assert!(error.is_missing(), "{error}");
            println!("SKIPPED: {error}, so the kernels were NOT run on a GPU");
            return;
        }
    };
    let nvrtc = std::env::var_os("SMOG_TEST_NVRTC").map(Into::into);
    let kernels = Kernels::load(gpu.context(), &KernelOptions { nvrtc, cache: None }).unwrap();
    let parity = check::parity(&gpu, &kernels, 48).unwrap();
    println!("{} ({}): {parity:?}", gpu.context().name().unwrap(), kernels.target());
    assert_eq!((parity.views, parity.differing), (48 * 2 * 7, 0), "{parity:?}");
    let speed = check::speed(&gpu, &kernels, (500, 375), 256, 20).unwrap();
    println!("{speed:?}");
}
