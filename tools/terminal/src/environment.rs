//! What both programs read of the environment, here and nowhere else.

use std::path::PathBuf;

/// The user's cache folder for smog: `$XDG_CACHE_HOME/smog`, else `$HOME/.cache/smog`; none where neither is set to an
/// absolute path.
pub fn cache_dir() -> Option<PathBuf> {
    below(variable("XDG_CACHE_HOME"), variable("HOME"))
}

/// Where both programs keep compiled kernels.
pub fn kernel_cache() -> Option<PathBuf> {
    cache_dir().map(|cache| cache.join("kernels"))
}

/// Whether colours are wanted on a terminal: `NO_COLOR` is not set, or empty.
pub fn may_colour() -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The XDG specification has relative paths ignored.
fn below(cache_home: Option<String>, home: Option<String>) -> Option<PathBuf> {
    let absolute = |path: Option<String>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute(cache_home).or_else(|| absolute(home).map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("smog"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_user_has_caches() {
        let found = |cache_home: Option<&str>, home: Option<&str>| {
            let found = below(cache_home.map(str::to_owned), home.map(str::to_owned));
            found.map(|path| path.display().to_string())
        };
        assert_eq!(found(Some("/scratch"), Some("/home/ann")).unwrap(), "/scratch/smog");
        for not_set in [None, Some(""), Some("relative/cache")] {
            assert_eq!(found(not_set, Some("/home/ann")).unwrap(), "/home/ann/.cache/smog");
            assert_eq!(
                found(not_set, Some("here")),
                None,
                "nothing is made in the folder of the call"
            );
            assert_eq!(found(not_set, None), None);
        }
    }
}
