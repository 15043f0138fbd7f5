//! The kernels on a GPU, where there is one: the same values as the CPU renderer's, all of them.

use smog_cuda::kernels::{KernelOptions, Kernels, check};

#[test]
fn views_of_the_device_are_those_of_the_cpu_renderer() {
    // SAFETY: opening the driver's library runs its initialisers, which touch nothing of ours.
    if !unsafe { cudarc::driver::sys::is_culib_present() } {
        println!("SKIPPED: no CUDA driver, so the kernels were NOT run on a GPU");
        return;
    }
    let context = match cudarc::driver::CudaContext::new(0) {
        Ok(context) => context,
        Err(error) => {
            println!("SKIPPED: no device ({:?}), so the kernels were NOT run on a GPU", error.0);
            return;
        }
    };
    let nvrtc = std::env::var_os("SMOG_TEST_NVRTC").map(Into::into);
    let kernels = Kernels::load(&context, &KernelOptions { nvrtc, cache: None }).unwrap();
    let parity = check::parity(&context, &kernels, 48).unwrap();
    println!("{} ({}): {parity:?}", context.name().unwrap(), kernels.target());
    assert_eq!((parity.views, parity.differing), (48 * 2 * 7, 0), "{parity:?}");
    let speed = check::speed(&context, &kernels, (500, 375), 256, 20).unwrap();
    println!("{speed:?}");
}
