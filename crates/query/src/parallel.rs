//! Work spread over threads: a list of jobs done in any order, results in the order of the list.

use std::sync::Mutex;

/// Applies `work` to every job on up to `threads` threads.
pub(crate) fn map<J: Send, R: Send>(
    jobs: Vec<J>,
    threads: usize,
    work: impl Fn(J) -> R + Sync,
) -> Vec<R> {
    map_with(jobs, threads, || (), |(), job| work(job))
}

/// As [`map`], with a state for each thread that serves all of its jobs.
pub(crate) fn map_with<J: Send, S, R: Send>(
    jobs: Vec<J>,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, J) -> R + Sync,
) -> Vec<R> {
    if threads < 2 || jobs.len() < 2 {
        let mut state = state();
        return jobs.into_iter().map(|job| work(&mut state, job)).collect();
    }
    let threads = threads.min(jobs.len());
    let results: Vec<Mutex<Option<R>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let queue = Mutex::new(jobs.into_iter().enumerate());
    let next = || queue.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut state = state();
                while let Some((i, job)) = next() {
                    let result = work(&mut state, job);
                    if let Some(Ok(mut place)) = results.get(i).map(Mutex::lock) {
                        *place = Some(result);
                    }
                }
            });
        }
    });
    results.into_iter().filter_map(|r| r.into_inner().ok().flatten()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_keep_the_order_of_the_jobs() {
        for threads in [1, 2, 7] {
            let jobs: Vec<u64> = (0..1000).collect();
            let want: Vec<u64> = jobs.iter().map(|n| n * n).collect();
            assert_eq!(super::map(jobs, threads, |n| n * n), want, "{threads} threads");
        }
    }
}
