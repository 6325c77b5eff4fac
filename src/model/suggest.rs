//! What somebody may have meant who mistyped a word.

/// Letters of a word that is looked at: nobody mistypes a long text, and the comparison takes time by the square.
const LONGEST: usize = 64;

/// The known words that this one may have been meant for, the nearest first. A third of a word's letters may be wrong, and
/// one always; two letters that changed places are one error.
pub fn similar<'a>(word: &str, known: &[&'a str]) -> Vec<&'a str> {
    if word.chars().nth(LONGEST).is_some() {
        return vec![];
    }
    let word = word.to_lowercase();
    let mut found: Vec<(usize, &str)> = known
        .iter()
        .map(|known| (strsim::osa_distance(&word, known), *known))
        .filter(|(errors, known)| *errors <= (known.chars().count() / 3).max(1))
        .collect();
    found.sort();
    found.into_iter().map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn the_nearest_comes_first_and_what_is_far_does_not_come() {
        let known = ["start", "stop", "status", "stat"];
        for (word, expected) in [
            ("strat", &["start", "stat"][..]),
            ("STATUS", &["status"]),
            ("stats", &["stat", "status"]),
            ("sop", &["stop"]),
            ("frobnicate", &[]),
            ("", &[]),
        ] {
            assert_eq!(similar(word, &known), expected, "{word}");
        }
        assert_eq!(similar(&"x".repeat(100_000), &known), [""; 0]);
    }
}
