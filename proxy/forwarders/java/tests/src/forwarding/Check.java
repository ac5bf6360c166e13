package forwarding;

/** Counts what was checked. */
final class Check {
    private static int passed;
    private static int failed;

    private Check() {}

    static synchronized void that(String claim, boolean holds, Object seen) {
        if (holds) {
            passed++;
            System.out.println("ok      " + claim);
        } else {
            failed++;
            System.out.println("FAILED  " + claim + "\n        " + String.valueOf(seen).replace("\r\n", "\n        "));
        }
    }

    static void same(String claim, Object expected, Object seen) {
        that(claim, expected.equals(seen), "expected " + expected + "\n        seen     " + seen);
    }

    /** Says how it went and ends the process. */
    static void end() {
        System.out.println("count   " + passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }
}
