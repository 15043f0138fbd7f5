//! Numbers as people write and read them.

/// A count with thin thousands separators: `1 281 167`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes with three digits: `138 GB`, `1.25 MB`.
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 999.5 || unit == "TB" {
            let digits = if unit == "B" || value >= 99.95 {
                0
            } else if value >= 9.995 {
                1
            } else {
                2
            };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    unreachable!("the last unit returns")
}

/// A time span: `42 s`, `3 min 05 s`, `2 h 07 min`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 59.5 {
        return format!("{seconds:.*} s", if seconds < 9.95 { 1 } else { 0 });
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// Reads a size such as `256MB`, `16MiB`, `1.5 GB` or a plain number of bytes.
///
/// # Errors
/// What was expected, in words for clap.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("`{unit}` is no unit; use B, kB, MB, GB, KiB, MiB or GiB")),
    };
    let number: f64 = number.parse().map_err(|_| "expected a size such as 256MB".to_owned())?;
    let bytes = number * factor;
    if !(1.0..=1e15).contains(&bytes) {
        return Err("expected a size of 1 byte to 1000 TB".to_owned());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        assert_eq!(parse_bytes("256MB"), Ok(256_000_000));
        assert_eq!(parse_bytes("16 MiB"), Ok(16 << 20));
        assert_eq!(parse_bytes("1.5gb"), Ok(1_500_000_000));
        assert_eq!(parse_bytes("77"), Ok(77));
        for wrong in ["", "MB", "12 parsecs", "0", "-3MB", "1..2MB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_read_well_at_the_edges_of_their_units() {
        assert_eq!([0, 999, 1000, 1_281_167].map(count), ["0", "999", "1 000", "1 281 167"]);
        assert_eq!(
            [0, 999, 1000, 99_960, 999_499, 1_000_000].map(bytes),
            ["0 B", "999 B", "1.00 kB", "100 kB", "999 kB", "1.00 MB"]
        );
        assert_eq!(
            [0.25, 59.0, 59.6, 3599.9].map(seconds),
            ["0.2 s", "59 s", "1 min 00 s", "1 h 00 min"]
        );
    }
}
