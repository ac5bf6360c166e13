package throughline.forward;

import java.util.Arrays;

/** Bytes that are written one after the other, in the order of the class file format. */
final class Bytes {
    private byte[] held = new byte[256];
    private int size;

    int size() {
        return size;
    }

    Bytes u1(int value) {
        room(1);
        held[size++] = (byte) value;
        return this;
    }

    Bytes u2(int value) {
        if (value < 0 || value > 0xffff) {
            throw new Unsure("number out of range");
        }
        return u1(value >> 8).u1(value);
    }

    Bytes u4(int value) {
        return u1(value >> 24).u1(value >> 16).u1(value >> 8).u1(value);
    }

    Bytes put(byte[] from, int start, int length) {
        room(length);
        System.arraycopy(from, start, held, size, length);
        size += length;
        return this;
    }

    Bytes put(Bytes other) {
        return put(other.held, 0, other.size);
    }

    byte[] array() {
        return Arrays.copyOf(held, size);
    }

    private void room(int more) {
        if (size + more > held.length) {
            held = Arrays.copyOf(held, Math.max(held.length * 2, size + more));
        }
    }
}
