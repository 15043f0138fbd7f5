//! Whole runs: resumed, refused, interrupted, broken. One program, since each test program links libtorch.

#[cfg(test)]
mod call;
#[cfg(test)]
mod collapse;
#[cfg(test)]
mod cuda;
#[cfg(test)]
mod diverge;
#[cfg(test)]
mod embed;
#[cfg(test)]
mod eval_data;
#[cfg(test)]
mod evaluate;
#[cfg(test)]
mod export;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod interrupts;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod pipes;
#[cfg(test)]
mod preflight;
#[cfg(test)]
mod presets;
#[cfg(test)]
mod process;
#[cfg(test)]
mod program;
#[cfg(test)]
mod resident;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod sharded;
#[cfg(test)]
mod support;
