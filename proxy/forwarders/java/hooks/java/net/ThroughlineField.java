package java.net;

import java.lang.reflect.Field;

/** A field of an object whose class may differ between versions, found by name once for each class. */
final class ThroughlineField extends ClassValue<Field> {
    private final String name;

    ThroughlineField(String name) {
        this.name = name;
    }

    Object of(Object object) throws Exception {
        return get(object.getClass()).get(object);
    }

    @Override
    protected Field computeValue(Class<?> type) {
        for (Class<?> at = type; at != null; at = at.getSuperclass()) {
            try {
                Field field = at.getDeclaredField(name);
                field.setAccessible(true);
                return field;
            } catch (NoSuchFieldException further) {
                // It may be inherited.
            }
        }
        throw new IllegalStateException("no " + name + " in " + type.getName());
    }
}
