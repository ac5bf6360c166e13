/** A program of no importance that Java 8 can run. */
public final class OldHello {
    private OldHello() {}

    public static void main(String[] arguments) {
        System.out.println("hello from " + System.getProperty("java.specification.version"));
    }
}
