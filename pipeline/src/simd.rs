//! Kernels compiled for several instruction sets, one of which is chosen at run time.
//!
//! A kernel is written once, as loops over slices of integers that the compiler turns into vector code;
//! [`kernel!`] compiles it for the oldest processor of the target and for AVX2. Both do the same integer
//! arithmetic, so a view has the same bytes on every machine (there is a test).

use std::fmt;

/// An instruction set that this processor has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Simd {
    avx2: bool,
    /// AVX2 and the instructions on bits that came with it: BMI1, BMI2 and LZCNT.
    bits: bool,
}

impl Simd {
    /// What every processor of the target has (on x86-64 that is SSE2).
    pub const BASELINE: Self = Self { avx2: false, bits: false };

    /// The best that this processor has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        let (avx2, bits) = (
            is_x86_feature_detected!("avx2"),
            is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt"),
        );
        #[cfg(not(target_arch = "x86_64"))]
        let (avx2, bits) = (false, false);
        Self { avx2, bits }
    }

    /// Whether AVX2 may be used. Never true where the processor does not have it.
    pub(crate) fn avx2(self) -> bool {
        self.avx2
    }

    /// Whether AVX2, BMI1, BMI2 and LZCNT may all be used.
    pub(crate) fn bits(self) -> bool {
        self.bits
    }
}

impl Default for Simd {
    fn default() -> Self {
        Self::best()
    }
}

impl fmt::Debug for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.avx2 { "AVX2" } else { "baseline" })
    }
}

/// Defines a function that is compiled for each instruction set; the first argument of a call is the
/// [`Simd`] to use.
macro_rules! kernel {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        $vis fn $name(simd: $crate::simd::Simd, $($argument: $type),*) $(-> $result)? {
            // Must end up inside the function below to be compiled for AVX2.
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    portable($($argument),*)
                }
                if simd.avx2() {
                    // SAFETY: the processor has AVX2, or `simd` would not say so.
                    return unsafe { avx2($($argument),*) };
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = simd;
            portable($($argument),*)
        }
    };
}

pub(crate) use kernel;
