use super::*;

const CPU: Device = Device::Cpu;

#[test]
fn on_the_cpu_work_is_done_when_the_call_returns_and_events_take_the_time() {
    let (current, side) = (Stream::current(CPU), Stream::side(CPU));
    assert_eq!(current, side);
    assert!(side.handle().is_null());
    let (mut first, mut second) = (Event::timed(CPU), Event::timed(CPU));
    assert!(first.is_done() && first.until(&second) == Duration::ZERO, "never recorded");
    first.record(current);
    std::thread::sleep(Duration::from_millis(5));
    second.record(current);
    side.wait(&first);
    second.synchronize();
    assert!(second.is_done());
    assert!(first.until(&second) >= Duration::from_millis(5));
    assert_eq!(second.until(&first), Duration::ZERO, "never negative");
}

#[test]
fn a_stream_gives_back_what_its_body_gives() {
    assert_eq!(Stream::side(CPU).within(|| 7), 7);
    let caught = std::panic::catch_unwind(|| {
        Stream::side(CPU).within(|| std::panic::resume_unwind(Box::new(3)))
    });
    assert_eq!(caught.unwrap_err().downcast_ref::<i32>(), Some(&3));
}

#[test]
fn bytes_are_copied_into_a_tensor_of_their_shape_and_no_other() {
    let target = Tensor::zeros([2, 2, 3], (Kind::Uint8, CPU));
    let source: Vec<u8> = (0..12).collect();
    // SAFETY: on the CPU the copy is done when the call returns.
    unsafe { copy_bytes(&target, &source) };
    drop(source);
    assert_eq!(Vec::<u8>::try_from(target.view(-1)).unwrap(), (0..12).collect::<Vec<u8>>());
    let refused = std::panic::catch_unwind(|| {
        // SAFETY: as above.
        unsafe { copy_bytes(&target.transpose(0, 2), &[0; 12]) }
    });
    assert!(refused.is_err(), "not contiguous");
}

#[test]
fn numbers_are_read_back_as_they_were_when_the_copy_was_queued() {
    let values = Tensor::from_slice(&[1.5f64, f64::NAN, -0.0]);
    let readback = Readback::begin(&values);
    let _ = values.shallow_clone().fill_(9.0);
    assert!(readback.is_done());
    let read = readback.read();
    assert!(read[0] == 1.5 && read[1].is_nan() && read[2].is_sign_negative(), "{read:?}");
}

#[test]
fn host_memory_is_zero_and_tensors_are_put_on_the_device_they_are_for() {
    let bytes = host_bytes(5, CPU);
    assert_eq!(Vec::<u8>::try_from(&bytes).unwrap(), [0; 5]);
    let tensor = Tensor::from_slice(&[3i64, 4]);
    assert_eq!(upload(&tensor, CPU), tensor);
    record_stream(&tensor, Stream::side(CPU));
}

#[test]
fn what_a_gpu_is_told_about_rounding_is_kept() {
    let before = GpuMath::current();
    for math in [GpuMath { tf32: true, benchmark: true }, GpuMath { tf32: false, benchmark: false }]
    {
        math.apply();
        assert_eq!(GpuMath::with_products(), (math, false), "products are f32 in any case");
    }
    before.apply();
}

/// Runs where there is a GPU only: the same calls on streams of its own.
#[test]
fn on_a_gpu_a_copy_on_a_side_stream_is_waited_for_by_the_device_alone() {
    let device = match crate::cuda::device(0) {
        Ok(device) => device,
        Err(error) => {
            eprintln!("SKIPPED: streams and events of a GPU: {error}");
            return;
        }
    };
    let (current, side) = (Stream::current(device), Stream::side(device));
    assert_ne!(current, side);
    assert_eq!(side.within(|| Stream::current(device)), side);
    assert_eq!(Stream::current(device), current);
    let host = host_bytes(1 << 20, device);
    assert!(host.is_pinned(device));
    let _ = host.shallow_clone().fill_(7);
    let target = Tensor::zeros([1 << 20], (Kind::Uint8, device));
    let (mut ready, mut copied, mut used) =
        (Event::new(device), Event::timed(device), Event::timed(device));
    ready.record(current);
    side.wait(&ready);
    side.within(|| copy_async(&target, &host));
    copied.record(side);
    current.wait(&copied);
    let sum = target.sum(Kind::Double).view(1);
    used.record(current);
    let readback = Readback::begin(&sum);
    assert_eq!(readback.read(), [7.0 * f64::from(1 << 20)]);
    assert!(copied.is_done() && used.is_done());
    assert!(copied.until(&used) < Duration::from_secs(5));
    assert_eq!(upload(&Tensor::from_slice(&[3i64]), device).int64_value(&[0]), 3);
}
