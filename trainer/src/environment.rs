//! The only place that reads the environment.

use std::path::PathBuf;

/// The user's cache folder for this program: `$XDG_CACHE_HOME/smog`, else `$HOME/.cache/smog`.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var(name).ok().map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("smog"))
}
