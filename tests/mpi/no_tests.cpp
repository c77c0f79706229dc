// Holds no test: proof that the test main counts that as a failure.
