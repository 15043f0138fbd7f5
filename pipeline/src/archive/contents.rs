//! The images in a tar, with the labels that WebDataset puts beside them.

use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::members::{Archive, ArchiveError, Member, MemberKind, is_hidden};
use crate::shard::is_image_name;
use crate::stamp::Stamp;

/// Longest image, as a limit on what one read may take.
const MAX_IMAGE_BYTES: u64 = 1 << 30;
/// Classes that numbers may name.
const MAX_CLASSES: u32 = 1 << 20;
/// Threads that read headers.
const MAX_SCANS: usize = 16;
/// Names in a message.
const SHOWN_NAMES: usize = 4;
/// Bytes of a label.
const MAX_LABEL_BYTES: u64 = 64;

/// One image in a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TarImage {
    pub(crate) name: String,
    /// Where its bytes begin in the file.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// Class number from the `.cls` of the same sample.
    pub(crate) label: Option<u32>,
}

/// What is in a tar, or in a tar inside a tar.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// In the order of the tar.
    pub(crate) images: Vec<TarImage>,
    /// Tars inside, with their place in the file.
    pub(crate) tars: Vec<(String, Range<u64>)>,
    /// Images by name that cannot be read, with the reason.
    pub(crate) refused: Vec<(String, String)>,
    /// Members that are no images by their name, and the names of the first of them.
    pub(crate) num_others: u64,
    pub(crate) others: Vec<String>,
    /// Whether there are labels: then it is WebDataset.
    pub(crate) labelled: bool,
    /// Of the file.
    pub(crate) stamp: Stamp,
    /// Over name, kind, place and size of every member, and the labels.
    pub(crate) digest: blake3::Hasher,
}

impl Contents {
    /// Looks at all members of the tar in `range` of a file.
    pub(crate) fn scan(archive: &Archive, range: Range<u64>) -> Result<Self, ArchiveError> {
        let mut contents = Self { stamp: archive.stamp, ..Self::default() };
        let mut sample = Sample::default();
        archive.members_within(range, &mut |member, content| {
            contents.member(archive, &mut sample, member, content)
        })?;
        contents.end_sample(&mut sample);
        Ok(contents)
    }

    fn member(
        &mut self,
        archive: &Archive,
        sample: &mut Sample,
        member: Member,
        content: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        let Member { name, kind, offset, bytes } = member;
        self.digest.update(&(name.len() as u64).to_le_bytes());
        self.digest.update(name.as_bytes());
        self.digest.update(&offset.to_le_bytes());
        self.digest.update(&bytes.to_le_bytes());
        if is_hidden(&name) {
            return Ok(());
        }
        let key = sample_key(&name);
        if sample.key != key {
            self.end_sample(sample);
            key.clone_into(&mut sample.key);
            sample.first_image = self.images.len();
        }
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let is_image = is_image_name(&name);
        match kind {
            MemberKind::Other(problem) if is_image => {
                self.digest.update(problem.as_bytes());
                self.refused.push((name, format!("it {problem}")));
            }
            MemberKind::File if is_image && bytes > MAX_IMAGE_BYTES => {
                let reason = format!("it has {bytes} bytes, the limit is {MAX_IMAGE_BYTES}");
                self.refused.push((name, reason));
            }
            MemberKind::File if is_image => {
                self.images.push(TarImage { name, offset, bytes, label: None });
            }
            MemberKind::File if ending.as_deref() == Some("cls") => {
                let label = read_label(content, bytes).map_err(|problem| ArchiveError::Member {
                    archive: archive.path().into(),
                    member: name,
                    problem,
                })?;
                self.digest.update(&label.to_le_bytes());
                self.labelled = true;
                sample.label = Some(label);
            }
            MemberKind::File if ending.as_deref() == Some("tar") => {
                self.tars.push((name, offset..offset + bytes)); // members() held it against the file
            }
            _ => {
                self.num_others += 1;
                if self.others.len() < SHOWN_NAMES {
                    self.others.push(name);
                }
            }
        }
        Ok(())
    }

    fn end_sample(&mut self, sample: &mut Sample) {
        if let Some(label) = sample.label.take() {
            for image in &mut self.images[sample.first_image..] {
                image.label = Some(label);
            }
        }
    }
}

/// The members under way that share a key.
#[derive(Default)]
struct Sample {
    key: String,
    first_image: usize,
    label: Option<u32>,
}

/// What the members of a WebDataset sample share: the name up to the first dot of its last part.
fn sample_key(name: &str) -> &str {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    name[base..].find('.').map_or(name, |dot| &name[..base + dot])
}

/// The number that a `.cls` holds as text.
fn read_label(content: &mut dyn Read, bytes: u64) -> Result<u32, String> {
    let mut text = String::new();
    content
        .take(MAX_LABEL_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let label = text.trim().parse::<u32>().ok().filter(|_| bytes <= MAX_LABEL_BYTES);
    let shown: String = text.trim().chars().take(20).collect();
    match label {
        Some(label) if label < MAX_CLASSES => Ok(label),
        _ => Err(format!(
            "holds `{shown}`, expected the number of a class, 0 to {}",
            MAX_CLASSES - 1
        )),
    }
}

/// The contents of each tar, all of it or a range of its bytes, looked at by several threads.
pub(crate) fn scan_all(
    tars: &[(PathBuf, Option<Range<u64>>)],
) -> Result<Vec<Contents>, ArchiveError> {
    let next = AtomicUsize::new(0);
    let scan = || {
        let mut scanned = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, range)) = tars.get(number) else { return Ok(scanned) };
            let archive = Archive::open(path)?;
            let range = range.clone().unwrap_or(archive.range());
            scanned.push((number, Contents::scan(&archive, range)?));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_SCANS);
    let mut all = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(tars.len()))
            .map(|number| {
                let builder = thread::Builder::new().name(format!("scan-{number}"));
                builder.spawn_scoped(scope, scan)
            })
            .collect();
        let mut all: Vec<(usize, Contents)> = scan()?;
        // A thread that could not be started is no loss: the others do its work.
        for other in others.into_iter().flatten() {
            match other.join() {
                Ok(scanned) => all.extend(scanned?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, ArchiveError>(all)
    })?;
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, contents)| contents).collect())
}

/// Some names, for messages.
pub(crate) fn first_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let shown: Vec<String> = names.take(SHOWN_NAMES).map(|name| format!("`{name}`")).collect();
    match shown.len() {
        0 => "nothing".to_owned(),
        SHOWN_NAMES => shown[..SHOWN_NAMES - 1].join(", ") + ", ...",
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn scan(members: &[(&str, &[u8])]) -> Result<Contents, ArchiveError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        file.write_all(&builder.into_inner().unwrap()).unwrap();
        let archive = Archive::open(file.path())?;
        Contents::scan(&archive, archive.range())
    }

    #[test]
    fn a_label_belongs_to_the_images_of_its_sample_before_and_behind_it() {
        let contents = scan(&[
            ("a/000.jpg", b"x"),
            ("a/000.cls", b"7\n"),
            ("a/001.cls", b"3"),
            ("a/001.json", b"{}"),
            ("a/001.seg.PNG", b"y"),
            ("a/002.jpg", b"z"),
            ("a/._002.jpg", b"hidden"),
            ("b.tar", b"not read here"),
        ])
        .unwrap();
        let found: Vec<(&str, Option<u32>)> =
            contents.images.iter().map(|image| (image.name.as_str(), image.label)).collect();
        assert_eq!(
            found,
            [("a/000.jpg", Some(7)), ("a/001.seg.PNG", Some(3)), ("a/002.jpg", None)]
        );
        assert!(contents.labelled);
        assert_eq!(
            (contents.num_others, &contents.others[..]),
            (1, &["a/001.json".to_owned()][..])
        );
        assert_eq!(contents.tars[0].0, "b.tar");
    }

    #[test]
    fn what_is_no_class_number_is_told_with_its_member() {
        for (label, shown) in [
            ("cat", "`cat`"),
            ("", "``"),
            ("-1", "`-1`"),
            ("4000000000", "`4000000000`"),
            ("1048576", "`1048576`"),
            (&"1".repeat(3000), "`11111111111111111111`"),
        ] {
            let message = scan(&[("0.cls", label.as_bytes())]).unwrap_err().to_string();
            assert!(message.contains("`0.cls` holds") && message.contains(shown), "{message}");
        }
        assert!(scan(&[("0.cls", &[0xFF, 0xFE])]).unwrap_err().to_string().contains("`0.cls`"));
    }

    #[test]
    fn the_digest_changes_with_names_places_and_labels() {
        let digest = |members: &[(&str, &[u8])]| scan(members).unwrap().digest.finalize();
        let first = digest(&[("0.jpg", b"x"), ("0.cls", b"1")]);
        assert_eq!(first, digest(&[("0.jpg", b"x"), ("0.cls", b"1")]));
        assert_ne!(first, digest(&[("0.jpg", b"x"), ("0.cls", b"2")]));
        assert_ne!(first, digest(&[("1.jpg", b"x"), ("1.cls", b"1")]));
        assert_ne!(first, digest(&[("0.cls", b"1"), ("0.jpg", b"x")]));
    }

    #[test]
    fn some_names_stand_for_all() {
        assert_eq!(first_names([].into_iter()), "nothing");
        assert_eq!(first_names(["a", "b", "c"].into_iter()), "`a`, `b`, `c`");
        assert_eq!(first_names(["a", "b", "c", "d", "e"].into_iter()), "`a`, `b`, `c`, ...");
    }
}
