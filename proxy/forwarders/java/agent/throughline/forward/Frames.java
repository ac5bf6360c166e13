package throughline.forward;

/** The frames of a method that moved: what the verifier is told of the stack at each place jumped to. */
final class Frames {
    private Frames() {}

    /**
     * The content of a StackMapTable after {@code shift} bytes were put before the code.
     *
     * @param first frames to put before those there
     * @param last where the last of {@code first} is, -1 when there is none
     */
    static Bytes moved(ClassFile file, int at, int length, int shift, Bytes first, int last) {
        int end = at + length;
        int count = file.u2(at);
        int added = last < 0 ? 0 : 2;
        Bytes out = new Bytes();
        out.u2(count + added).put(first);
        int place = at + 2;
        for (int i = 0; i < count; i++) {
            int tag = file.u1(place);
            int kind = tag < 64 ? 0 : tag < 128 ? 64 : tag;
            if (kind > 64 && kind < 247) {
                throw new Unsure("frame of unknown kind " + tag);
            }
            boolean shortForm = kind == 0 || kind == 64;
            int delta = shortForm ? tag - kind : file.u2(place + 1);
            place += shortForm ? 1 : 3;
            // A frame counts from the one before it; the first counts from the start.
            if (i == 0) {
                delta += shift;
                if (last >= 0) {
                    delta -= last + 1;
                }
            }
            if (delta < 0) {
                throw new Unsure("a frame before the code");
            }
            if (shortForm && delta < 64) {
                out.u1(kind + delta);
            } else if (shortForm) {
                out.u1(kind == 0 ? 251 : 247).u2(delta);
            } else {
                out.u1(kind).u2(delta);
            }
            if (kind == 64 || kind == 247) {
                place = type(file, place, shift, out);
            } else if (kind >= 252 && kind <= 254) {
                for (int n = 0; n < kind - 251; n++) {
                    place = type(file, place, shift, out);
                }
            } else if (kind == 255) {
                for (int list = 0; list < 2; list++) {
                    int types = file.u2(place);
                    out.u2(types);
                    place += 2;
                    for (int n = 0; n < types; n++) {
                        place = type(file, place, shift, out);
                    }
                }
            }
        }
        if (place != end) {
            throw new Unsure("frames of odd length");
        }
        return out;
    }

    private static int type(ClassFile file, int place, int shift, Bytes out) {
        int tag = file.u1(place);
        out.u1(tag);
        if (tag == 7) {
            out.u2(file.u2(place + 1));
            return place + 3;
        }
        if (tag == 8) {
            // An object that is not initialised yet is named by the place of its "new".
            out.u2(file.u2(place + 1) + shift);
            return place + 3;
        }
        if (tag > 8) {
            throw new Unsure("type of unknown kind " + tag);
        }
        return place + 1;
    }
}
