package throughline.forward;

/** How long each instruction is. */
final class Instructions {
    private Instructions() {}

    static int after(ClassFile file, int start, int place) {
        int opcode = file.u1(place);
        if (opcode == 0xaa || opcode == 0xab) {
            int aligned = place + 4 - (place - start) % 4;
            if (opcode == 0xaa) {
                long cases = (long) file.u4(aligned + 8) - file.u4(aligned + 4) + 1;
                return checked(aligned + 12 + 4 * cases);
            }
            return checked(aligned + 8 + 8L * file.u4(aligned + 4));
        }
        if (opcode == 0xc4) {
            return place + (file.u1(place + 1) == 0x84 ? 6 : 4);
        }
        return place + length(opcode);
    }

    private static int checked(long place) {
        if (place < 0 || place > Integer.MAX_VALUE) {
            throw new Unsure("a switch of odd size");
        }
        return (int) place;
    }

    private static int length(int opcode) {
        if (opcode <= 0x0f) return 1;
        if (opcode == 0x10 || opcode == 0x12) return 2; // bipush, ldc
        if (opcode == 0x11 || opcode == 0x13 || opcode == 0x14) return 3; // sipush, ldc_w, ldc2_w
        if (opcode <= 0x19) return 2; // loads with an index
        if (opcode <= 0x35) return 1;
        if (opcode <= 0x3a) return 2; // stores with an index
        if (opcode <= 0x83) return 1;
        if (opcode == 0x84) return 3; // iinc
        if (opcode <= 0x98) return 1;
        if (opcode <= 0xa8) return 3; // ifs, goto, jsr
        if (opcode == 0xa9) return 2; // ret
        if (opcode <= 0xb1) return 1; // returns
        if (opcode <= 0xb8) return 3; // fields, invokevirtual, invokespecial, invokestatic
        if (opcode <= 0xba) return 5; // invokeinterface, invokedynamic
        if (opcode == 0xbb) return 3; // new
        if (opcode == 0xbc) return 2; // newarray
        if (opcode == 0xbd) return 3; // anewarray
        if (opcode <= 0xbf) return 1; // arraylength, athrow
        if (opcode <= 0xc1) return 3; // checkcast, instanceof
        if (opcode <= 0xc3) return 1; // monitors
        if (opcode == 0xc5) return 4; // multianewarray
        if (opcode <= 0xc7) return 3; // ifnull, ifnonnull
        if (opcode <= 0xc9) return 5; // goto_w, jsr_w
        throw new Unsure("unknown instruction " + opcode);
    }
}
