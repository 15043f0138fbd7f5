//! The only place of this program that reads the environment.

use std::path::PathBuf;

/// The user's cache folder for compiled kernels, which `smog-trainer` has, too: `$XDG_CACHE_HOME/smog/kernels`, else
/// `$HOME/.cache/smog/kernels`.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub(crate) fn kernel_cache() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var(name).ok().map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("smog/kernels"))
}
