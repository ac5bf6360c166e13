package java.net;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;

/** A method of an object whose class java.base does not know, found by name once for each class. */
final class ThroughlineCall {
    private final String name;
    private final Class<?>[] parameters;
    private final Found found;

    ThroughlineCall(String name, Class<?>... parameters) {
        this.name = name;
        this.parameters = parameters;
        this.found = new Found();
    }

    Object on(Object target, Object... arguments) throws Exception {
        try {
            return found.get(target.getClass()).invoke(target, arguments);
        } catch (InvocationTargetException thrown) {
            Throwable cause = thrown.getCause();
            if (cause instanceof Exception) {
                throw (Exception) cause;
            }
            throw thrown;
        }
    }

    private final class Found extends ClassValue<Method> {
        @Override
        protected Method computeValue(Class<?> type) {
            Method method = search(type);
            if (method == null) {
                throw new IllegalStateException("no " + name + " in " + type.getName());
            }
            method.setAccessible(true);
            return method;
        }

        private Method search(Class<?> type) {
            for (Class<?> at = type; at != null; at = at.getSuperclass()) {
                try {
                    Method method = at.getDeclaredMethod(name, parameters);
                    if (!Modifier.isStatic(method.getModifiers())) {
                        return method;
                    }
                } catch (NoSuchMethodException further) {
                    // It may be inherited.
                }
            }
            for (Class<?> at = type; at != null; at = at.getSuperclass()) {
                for (Class<?> face : at.getInterfaces()) {
                    Method method = search(face);
                    if (method != null) {
                        return method;
                    }
                }
            }
            return null;
        }
    }
}
