package throughline.forward;

/** Says that a class is not as an edit expects it: it is left as it is. */
final class Unsure extends RuntimeException {
    private static final long serialVersionUID = 1;

    Unsure(String why) {
        super(why, null, false, false);
    }
}
