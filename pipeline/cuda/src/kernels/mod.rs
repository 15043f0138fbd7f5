//! The augmentation kernels.
