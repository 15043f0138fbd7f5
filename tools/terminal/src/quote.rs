//! Names within a command that a person is told to type next.

use std::ffi::OsStr;

/// A path or name as it can be pasted into a shell: in quotes where the shell would take it apart. A name that is no UTF-8
/// cannot be shown, so it cannot be pasted either.
pub fn quoted(name: impl AsRef<OsStr>) -> String {
    let name = name.as_ref().to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:,=".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        name.into_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn names_without_marks_stay_as_they_are() {
        for name in ["/a/b-c.d", "runs/x_1", "s3://bucket/x", "Bücher", "a=b,c@d+e"] {
            assert_eq!(quoted(name), name);
        }
        assert_eq!(quoted("/my photo's"), r"'/my photo'\''s'");
    }

    /// A shell is the judge.
    #[test]
    fn a_shell_gives_every_name_back() {
        let names = [
            "a b", "", "~", "~/x", "$HOME", "a\nb", "it's", "'", "*.jpg", "a;b", "#", "!!", "a\\b",
            "Bücher",
        ];
        let script = names.map(|name| format!("printf '%s\\0' {}", quoted(name))).join("\n");
        let shell = Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8(shell.stdout).unwrap();
        assert_eq!(said.split_terminator('\0').collect::<Vec<_>>(), names);
    }
}
