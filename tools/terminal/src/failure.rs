//! Errors in words: once, with their causes, in one line.

use std::error::Error;
use std::iter::successors;

use crate::note;

/// An error and its causes. A cause whose words stand there already is left out.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    for cause in successors(error.source(), |cause| (*cause).source()).map(ToString::to_string) {
        if !line.contains(&cause) {
            line += ": ";
            line += &cause;
        }
    }
    line
}

/// Says why the program ends.
pub fn report(error: &(dyn Error + 'static)) {
    note(&format!("error: {}", one_line(error)));
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// An error with words of its own, or only those of its cause.
    #[derive(Debug)]
    struct Layer(Option<&'static str>, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match (self.0, &self.1) {
                (Some(words), _) => f.write_str(words),
                (None, Some(cause)) => cause.fmt(f),
                (None, None) => Ok(()),
            }
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_follow_in_one_line_and_each_is_said_once() {
        let disk = Layer(Some("no space"), None);
        let wrapper = Layer(None, Some(Box::new(disk)));
        let all = Layer(Some("cannot write x"), Some(Box::new(wrapper)));
        assert_eq!(one_line(&all), "cannot write x: no space");
        let disk = Layer(Some("no space"), None);
        let advice = Layer(Some("cannot write x (no space). Make room"), Some(Box::new(disk)));
        assert_eq!(one_line(&advice), "cannot write x (no space). Make room");
    }
}
